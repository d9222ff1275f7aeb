#include "reverie/run/csv_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "oracle.h"

namespace reverie {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::ThrowsMessage;

class CsvTableTest : public testing::Test {
 protected:
  CsvTable Read(const std::string& bytes, CsvFormat format = {}) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    return CsvTable(path_, format);
  }

  std::vector<std::vector<std::string>> Rows(const std::string& bytes, CsvFormat format = {}) const {
    const CsvTable table = Read(bytes, format);
    std::vector<std::vector<std::string>> rows(table.rows());
    for (size_t row = 0; row < table.rows(); ++row) {
      for (size_t column = 0; column < table.columns().size(); ++column) {
        rows[row].emplace_back(table.Text(row, column));
      }
    }
    return rows;
  }

  void ExpectRefused(const std::string& bytes, const std::string& what, CsvFormat format = {}) const {
    EXPECT_THAT([&] { Read(bytes, format); }, ThrowsMessage<std::invalid_argument>(EndsWith("table.csv" + what)));
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "table.csv";
};

TEST_F(CsvTableTest, LineBreaksAndAByteOrderMarkDoNotChangeWhatIsRead) {
  for (const std::string line_break : {"\n", "\r\n", "\r"}) {
    for (const std::string mark : {"", "\xef\xbb\xbf"}) {
      for (const std::string& end : {std::string(), line_break, line_break + line_break, line_break + " ,\t"}) {
        const std::string bytes = mark + "a,b" + line_break + "1,2" + line_break + "3," + end;
        EXPECT_THAT(Read(bytes).columns(), ElementsAre("a", "b"));
        EXPECT_THAT(Rows(bytes), ElementsAre(ElementsAre("1", "2"), ElementsAre("3", ""))) << bytes;
      }
    }
  }
}

TEST_F(CsvTableTest, QuotedFieldsHoldCommasQuotesAndLineBreaks) {
  const std::string bytes = "\"a\",\"b, c\"\r\n\"x \"\"y\"\"\",\"1\r\n2\"\r\n\"\",\"\"\"\"\r\n3,\"4\"";
  EXPECT_THAT(Read(bytes).columns(), ElementsAre("a", "b, c"));
  EXPECT_THAT(Rows(bytes), ElementsAre(ElementsAre("x \"y\"", "1\r\n2"), ElementsAre("", "\""), ElementsAre("3", "4")));
}

TEST_F(CsvTableTest, WhatCsvLineWritesIsReadBack) {
  const std::vector<std::string> fields{"plain", "", "a, b", "\"", "say \"no\"", "two\nlines", "CR\r", " blanks "};
  const CsvTable table = Read(CsvLine(fields), {.header = false});
  ASSERT_EQ(table.rows(), 1);
  ASSERT_EQ(table.columns().size(), fields.size());
  for (size_t column = 0; column < fields.size(); ++column) {
    EXPECT_EQ(table.Text(0, column), fields[column]);
  }
}

TEST_F(CsvTableTest, ALastLineWithoutItsBreakIsARowUnlessTheFileGrows) {
  EXPECT_THAT(Rows("a,b\n1,2\n3,4"), ElementsAre(ElementsAre("1", "2"), ElementsAre("3", "4")));
  EXPECT_FALSE(Read("a,b\n1,2\n3,4").has_torn_line());
  EXPECT_THAT(Rows("a,b\n1,2\n3,4", {.grows = true}), ElementsAre(ElementsAre("1", "2")));
  EXPECT_TRUE(Read("a,b\n1,2\n3,4", {.grows = true}).has_torn_line());
}

TEST_F(CsvTableTest, AFileOfNothingHasNoRows) {
  for (const std::string bytes : {"", "\n", "\r\n \r\n", "\xef\xbb\xbf"}) {
    EXPECT_EQ(Read(bytes, {.header = false}).rows(), 0);
    EXPECT_EQ(Read(bytes).rows(), 0);
  }
  EXPECT_EQ(Read("a,b").rows(), 0);
}

TEST_F(CsvTableTest, ErrorsNameTheLineOfTheFile) {
  ExpectRefused("a,b\n1,2\n3\n", ":3: has 1 fields, the header 2");
  ExpectRefused("1,2\n3\n", ":2: has 1 fields, the first line 2", {.header = false});
  ExpectRefused("a,b\n\"x\ny\",2\n3,4,5\n", ":4: has 3 fields, the header 2");
  ExpectRefused("a,b\n1,2\n\n3,4\n", ":4: a row after a blank line");
  ExpectRefused("a,b\n1,\"2\n3,4\n", ":2: a quote is not closed");
  ExpectRefused("a,b\n1,\"2", ":2: a quote is not closed");
  ExpectRefused("a,b\n1,\"2\"x\n", ":2: expected a comma or the end of the line behind the closing quote");
  ExpectRefused(std::string("\xff\xfe"
                            "a\0",
                            4),
                ": is UTF-16; expected UTF-8");
  const CsvTable table = Read("a,b\r\n\"x\r\ny\",2\r\n3,four\r\n");
  EXPECT_THAT([&] { table.Number(1, 1); },
              ThrowsMessage<std::invalid_argument>(EndsWith("table.csv:4: b: expected a number, got 'four'")));
  EXPECT_THAT([&] { Read("a;b\n1;2\n").Column("a"); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("no column a; expected commas between the fields")));
}

TEST_F(CsvTableTest, NumbersMayHaveBlanksAroundThemAndAPlus) {
  const CsvTable table = Read(" +0.5 ,-2.5e-1\t,, inf,+-1\n", {.header = false});
  EXPECT_EQ(table.Number(0, 0), 0.5);
  EXPECT_EQ(table.FiniteNumber(0, 1), -0.25);
  EXPECT_EQ(table.Number(0, 2), std::nullopt);
  EXPECT_EQ(table.Number(0, 3), std::numeric_limits<double>::infinity());
  EXPECT_THROW(table.FiniteNumber(0, 2), std::invalid_argument);
  EXPECT_THROW(table.FiniteNumber(0, 3), std::invalid_argument);
  EXPECT_THROW(table.Number(0, 4), std::invalid_argument);
}

}  // namespace
}  // namespace reverie
