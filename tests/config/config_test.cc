#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "reverie/config/reader.h"
#include "reverie/config/writer.h"

namespace reverie {
namespace {

enum class Colour { kRed, kDeepBlue };
std::vector<std::pair<std::string, Colour>> EnumNames(Colour) {
  return {{"red", Colour::kRed}, {"deep_blue", Colour::kDeepBlue}};
}

struct Inner {
  double rate = 0.1;
  std::vector<int64_t> hidden{200, 200};
  void Visit(Fields& fields) {
    fields("rate", rate, "a rate", Above(0));
    fields("hidden", hidden, "widths", AtLeast(1));
  }
};

struct Outer {
  std::string id;
  int64_t steps = 10;
  bool flag = false;
  Colour colour = Colour::kRed;
  std::optional<double> entropy;
  std::array<double, 2> limits{-std::numeric_limits<double>::infinity(), 0.1};
  LengthSchedule length{20, 150, 1, 15};
  Inner inner;
  Inner late;
  void Visit(Fields& fields) {
    fields.Required("id", id, "a name");
    fields("steps", steps, "how many", AtLeast(0));
    fields("flag", flag, "a flag");
    fields("colour", colour, "a colour");
    fields("entropy", entropy, "a target");
    fields("limits", limits, "two numbers");
    fields("length", length, "a schedule");
    fields("inner", inner, "a section");
    fields.Check([this] { return inner.rate < static_cast<double>(steps); }, "a rate below steps");
    fields.Late(
        "late", [this] { return id == "plain" ? Fields() : Fields::Of(late); }, "depends on id");
  }
};

std::string ErrorOf(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  Outer config;
  try {
    ConfigDocument document = ConfigDocument::FromText(yaml, "f.yaml");
    for (const std::string& set : sets) {
      document.Set(set);
    }
    document.ReadInto(Fields::Of(config));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

struct Automatic {
  std::optional<int64_t> threads;
  void Visit(Fields& fields) { fields("threads", threads, "how many", Between(0, 64)); }
};

TEST(Config, AnIntegerMayBeLeftOpen) {
  Automatic config;
  const auto read = [&config](const std::string& value) {
    ConfigDocument::FromText("threads: " + value, "f.yaml").ReadInto(Fields::Of(config));
  };
  EXPECT_EQ(ToYaml(Fields::Of(config)), "threads: auto\n");
  read("12");
  EXPECT_EQ(config.threads, 12);
  EXPECT_EQ(ToYaml(Fields::Of(config)), "threads: 12\n");
  read("auto");
  EXPECT_EQ(config.threads, std::nullopt);
  for (const char* value : {"65", "-1", "1.5", "many", "[1]"}) {
    try {
      read(value);
      ADD_FAILURE() << value;
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what())
                    .find("f.yaml:1: threads: expected auto or an integer at least 0 and at most 64, got "),
                0)
          << error.what();
    }
  }
}

TEST(Config, ReadsEveryTypeAndKeepsDefaults) {
  Outer config;
  ConfigDocument document = ConfigDocument::FromText(
      "id: x\nsteps: 1e3\nflag: true\ncolour: deep_blue\nentropy: -3\nlimits: [-.inf, 2]\nlength: 4\n"
      "inner:\n  hidden: [8, 9, 10]\n",
      "f.yaml");
  document.Set("inner.rate=0.5");
  document.Set("late.hidden=[3]");
  document.ReadInto(Fields::Of(config));
  EXPECT_EQ(config.id, "x");
  EXPECT_EQ(config.steps, 1000);
  EXPECT_TRUE(config.flag);
  EXPECT_EQ(config.colour, Colour::kDeepBlue);
  EXPECT_EQ(config.entropy, -3);
  EXPECT_TRUE(std::isinf(config.limits[0]));
  EXPECT_EQ(config.length.At(1000), 4);
  EXPECT_EQ(config.inner.hidden, (std::vector<int64_t>{8, 9, 10}));
  EXPECT_EQ(config.inner.rate, 0.5);
  EXPECT_EQ(config.late.hidden, std::vector<int64_t>{3});
  EXPECT_EQ(config.late.rate, 0.1);
}

TEST(Config, WhatIsWrittenReadsBackToTheSame) {
  Outer config;
  config.id = R"(Half Cheetah: "5"\)";
  config.inner.rate = 1.0 / 3.0;
  config.entropy = 0.1;
  const std::string yaml = ToYaml(Fields::Of(config));
  Outer again;
  ConfigDocument::FromText(yaml, "f.yaml").ReadInto(Fields::Of(again));
  EXPECT_EQ(again.id, config.id);
  EXPECT_EQ(again.inner.rate, config.inner.rate);
  EXPECT_EQ(ToYaml(Fields::Of(again)), yaml);
}

TEST(Config, ErrorsNameFileLineKeyAndWhatWasExpected) {
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  rat: 1\n"), "f.yaml:3: inner.rat: no such key; did you mean inner.rate?");
  EXPECT_EQ(ErrorOf("id: x\n\nbanana_split_x: 1\n").substr(0, 40), "f.yaml:3: banana_split_x: no such key; k");
  EXPECT_EQ(ErrorOf("steps: 3\n"), "f.yaml: id: missing; it has no default");
  EXPECT_EQ(ErrorOf("id: x\nsteps: abc\n"), "f.yaml:2: steps: expected an integer at least 0, got abc");
  EXPECT_EQ(ErrorOf("id: x\nsteps: \"3\"\n"), "f.yaml:2: steps: expected an integer at least 0, got \"3\"");
  EXPECT_EQ(ErrorOf("id: x\nsteps: 1.5\n"), "f.yaml:2: steps: expected an integer at least 0, got 1.5");
  EXPECT_EQ(ErrorOf("id: x\nsteps: -1\n"), "f.yaml:2: steps: expected an integer at least 0, got -1");
  EXPECT_EQ(ErrorOf("id: x\nsteps: 99999999999999999999\n"),
            "f.yaml:2: steps: expected an integer at least 0, got 99999999999999999999");
  EXPECT_EQ(ErrorOf("id: x\nflag: yes\n"), "f.yaml:2: flag: expected true or false, got yes");
  EXPECT_EQ(ErrorOf("id: x\ncolour: blue\n"), "f.yaml:2: colour: expected one of red, deep_blue, got blue");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: 0}\n"), "f.yaml:2: inner.rate: expected a number above 0, got 0");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: .nan}\n"), "f.yaml:2: inner.rate: expected a number above 0, got .nan");
  EXPECT_EQ(ErrorOf("id: x\ninner: 3\n"), "f.yaml:2: inner: expected a section of keys, got 3");
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  hidden: [1, 0]\n"),
            "f.yaml:3: inner.hidden: expected an integer at least 1, got 0");
  EXPECT_EQ(ErrorOf("id: x\nlimits: [1, 2, 3]\n"), "f.yaml:2: limits: expected a list of 2 numbers, got a list");
  EXPECT_EQ(ErrorOf("id: x\nid: y\n"), "f.yaml:2: id: given twice");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: 1, rate: 2}\n"), "f.yaml:2: inner.rate: given twice");
  EXPECT_EQ(ErrorOf("id: x\nsteps: [1\n").substr(0, 22), "f.yaml:3: not YAML: en");
  EXPECT_EQ(ErrorOf("- a\n"), "f.yaml: expected a file of keys and values, got a list");
  EXPECT_EQ(ErrorOf(""), "f.yaml: expected a file of keys and values, got nothing");
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  rate: 50\n"), "f.yaml:2: inner: expected a rate below steps");
  EXPECT_EQ(ErrorOf("id: plain\nlate:\n  rate: 1\n"), "f.yaml:3: late.rate: no such key; there are none here");
  EXPECT_EQ(ErrorOf("id: x\nlength: [5, 1, 1, 2]\n").substr(0, 25), "f.yaml:2: length: expecte");
}

TEST(Config, OverridesAreNamedInErrors) {
  EXPECT_EQ(ErrorOf("id: x\n", {"inner.rate=-1"}),
            "--set inner.rate=-1: inner.rate: expected a number above 0, got -1");
  EXPECT_EQ(ErrorOf("id: x\n", {"inner.hiden=[1]"}),
            "--set inner.hiden=[1]: inner.hiden: no such key; did you mean inner.hidden?");
  EXPECT_EQ(ErrorOf("id: x\n", {"steps"}).substr(0, 12), "--set steps:");
  EXPECT_EQ(ErrorOf("id: x\n", {"steps.a=1"}), "--set steps.a=1: steps: expected an integer at least 0, got a section");
  EXPECT_EQ(ErrorOf("id: x\nsteps: 4\n", {"steps.a=1"}), "--set steps.a=1: steps: is not a section");
  EXPECT_EQ(ErrorOf("id: x\nsteps: -1\n", {"steps=2"}), "");
}

TEST(Config, AMissingFileIsSaidSo) {
  try {
    ConfigDocument::FromFile("/nonexistent/a.yaml");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "/nonexistent/a.yaml: no such file");
  }
}

TEST(Config, TheReferenceHasEveryKey) {
  Outer config;
  const std::string text = ToReference(Fields::Of(config));
  for (const char* key : {"id\n", "steps\n", "inner.rate\n", "inner.hidden\n", "late.rate\n", "length\n"}) {
    EXPECT_THAT(text, testing::HasSubstr(key));
  }
  EXPECT_THAT(text, testing::HasSubstr("number in (0, .inf), default 0.1"));
}

TEST(LengthSchedule, FollowsTheFormula) {
  const LengthSchedule hopper(20, 150, 1, 15);
  EXPECT_EQ(hopper.At(0), 1);
  EXPECT_EQ(hopper.At(20), 1);
  EXPECT_EQ(hopper.At(29), 1);  // 1 + 9/130*14 = 1.97
  EXPECT_EQ(hopper.At(30), 2);  // 1 + 10/130*14 = 2.08
  EXPECT_EQ(hopper.At(85), 8);  // half way: 8
  EXPECT_EQ(hopper.At(150), 15);
  EXPECT_EQ(hopper.At(10'000), 15);
  EXPECT_EQ(hopper.Max(), 15);
}

std::string AfterSets(const std::vector<ConfigAssignment>& assignments) {
  ConfigDocument document =
      ConfigDocument::FromText("planner: {kind: cem, horizon: 9, options: {elites: 3}}", "c.yaml");
  document.Set(assignments);
  std::string leaves;
  for (const ConfigLeaf& leaf : document.Leaves()) {
    leaves += leaf.key + "=" + leaf.value + " ";
  }
  return leaves;
}

TEST(ConfigDocument, AnotherKindDropsTheOptionsOfTheOne) {
  EXPECT_EQ(AfterSets({{"planner.kind=mppi", ""}}), "planner.kind=mppi planner.horizon=9 ");
  EXPECT_EQ(AfterSets({{"planner.kind=cem", ""}}), "planner.kind=cem planner.horizon=9 planner.options.elites=3 ");
  // Those that are given with it are its own, in whatever order.
  EXPECT_EQ(AfterSets({{"planner.options.sigma=0.1", ""}, {"planner.kind=mppi", ""}}),
            "planner.kind=mppi planner.horizon=9 planner.options.sigma=0.1 ");
}

}  // namespace
}  // namespace reverie
