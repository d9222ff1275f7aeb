#include <ATen/Parallel.h>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  // Tests run side by side; threads of one would wait for those of another.
  at::set_num_threads(1);
  testing::InitGoogleTest(&argc, argv);
  const int code = RUN_ALL_TESTS();
  // CTest reports 77 as skipped (tests/CMakeLists.txt); a failure beside a skipped test stays a failure.
  return code == 0 && testing::UnitTest::GetInstance()->skipped_test_count() > 0 ? 77 : code;
}
