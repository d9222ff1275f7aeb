#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "reverie/config/choice.h"
#include "reverie/config/reader.h"
#include "reverie/config/writer.h"
#include "reverie/core/text.h"

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
  std::optional<bool> choice = true;
  std::optional<double> entropy;
  std::optional<int64_t> count = 3;
  std::optional<std::array<double, 2>> bounds;
  std::array<double, 2> limits{-std::numeric_limits<double>::infinity(), 0.1};
  LengthSchedule length{20, 150, 1, 15};
  Inner inner;
  Inner late;
  void Visit(Fields& fields) {
    fields.Required("id", id, "a name");
    fields("steps", steps, "how many", AtLeast(0));
    fields("flag", flag, "a flag");
    fields("colour", colour, "a colour");
    fields("choice", choice, "a flag, or what the data say");
    fields("entropy", entropy, "a target");
    fields("count", count, "how many, or the usual", AtLeast(1));
    fields("bounds", bounds, "two numbers, or the usual");
    fields("limits", limits, "two numbers");
    fields("length", length, "a schedule", Between(1, 1000));
    fields("inner", inner, "a section");
    fields.Check([this] { return inner.rate < static_cast<double>(steps); }, "a rate below steps");
    fields.Check([this] { return inner.rate == 7 ? "rate: expected another than 7" : ""; });
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
      "id: x\nsteps: 1e3\nflag: true\ncolour: deep_blue\nchoice: False\nentropy: -3\ncount: 2\nbounds: [-1, "
      "2]\nlimits: [-.inf, "
      "2]\nlength: 4\n"
      "inner:\n  hidden: [8, 9, 10]\n",
      "f.yaml");
  document.Set("inner.rate=0.5");
  document.Set("late.hidden=[3]");
  document.ReadInto(Fields::Of(config));
  EXPECT_EQ(config.id, "x");
  EXPECT_EQ(config.steps, 1000);
  EXPECT_TRUE(config.flag);
  EXPECT_EQ(config.colour, Colour::kDeepBlue);
  EXPECT_EQ(config.choice, false);
  EXPECT_EQ(config.entropy, -3);
  EXPECT_EQ(config.count, 2);
  EXPECT_EQ(config.bounds, (std::array<double, 2>{-1, 2}));
  EXPECT_TRUE(std::isinf(config.limits[0]));
  EXPECT_EQ(config.length.At(1000), 4);
  EXPECT_EQ(config.inner.hidden, (std::vector<int64_t>{8, 9, 10}));
  EXPECT_EQ(config.inner.rate, 0.5);
  EXPECT_EQ(config.late.hidden, std::vector<int64_t>{3});
  EXPECT_EQ(config.late.rate, 0.1);
}

// https://yaml.org/spec/1.2.2/#1032-tag-resolution
TEST(Config, ReadsEverySpellingOfYamlsCoreSchemaAndNoOther) {
  const auto read = [](const std::string& key, const std::string& text) {
    Outer config;
    ConfigDocument::FromText("id: x\n" + key + ": " + text + "\n", "f.yaml").ReadInto(Fields::Of(config));
    return config;
  };
  const auto refused = [](const std::string& key, const std::string& text) {
    return ErrorOf("id: x\n" + key + ": " + text + "\n").starts_with("f.yaml:2: " + key + ": expected ");
  };
  for (const char* text : {"true", "True", "TRUE"}) {
    EXPECT_TRUE(read("flag", text).flag) << text;
  }
  for (const char* text : {"false", "False", "FALSE"}) {
    EXPECT_FALSE(read("flag", text).flag) << text;
  }
  for (const char* text : {"tRUE", "yes", "on", "1", "~", "null", "\"true\""}) {
    EXPECT_TRUE(refused("flag", text)) << text;
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<const char*, double>> numbers{
      {".inf", kInfinity},   {".Inf", kInfinity}, {".INF", kInfinity}, {"+.inf", kInfinity}, {"-.Inf", -kInfinity},
      {"-.INF", -kInfinity}, {"+12.3", 12.3},     {"-0.5", -0.5},      {".5", 0.5},          {"5.", 5},
      {"12e03", 12'000},     {"1E-2", 0.01},      {"0o14", 12},        {"0xC", 12},          {"017", 17}};
  for (const auto& [text, value] : numbers) {
    EXPECT_EQ(read("limits", std::string("[-.inf, ").append(text).append("]")).limits[1], value) << text;
  }
  for (const char* text : {".iNF", "inf", "Inf", "infinity", "nan", ".nan", ".NaN", "--1", "+-1", "-+1", "+", "1e",
                           "0x", "0x-1", "-0x1", "0o8", "1_000", "1:30", "''"}) {
    EXPECT_TRUE(refused("entropy", text)) << text;
  }
  const std::vector<std::pair<const char*, int64_t>> integers{
      {"+6", 6}, {"010", 10}, {"0o10", 8}, {"0x10", 16}, {"1e1", 10}};
  for (const auto& [text, value] : integers) {
    EXPECT_EQ(read("steps", text).steps, value) << text;
  }
}

TEST(Config, WhatIsWrittenReadsBackToTheSame) {
  Outer config;
  config.id = R"(Half Cheetah: "5"\)";
  config.inner.rate = 1.0 / 3.0;
  config.entropy = 0.1;
  config.count.reset();
  const std::string yaml = ToYaml(Fields::Of(config));
  Outer again;
  ConfigDocument::FromText(yaml, "f.yaml").ReadInto(Fields::Of(again));
  EXPECT_EQ(again.id, config.id);
  EXPECT_EQ(again.inner.rate, config.inner.rate);
  EXPECT_EQ(again.count, std::nullopt);
  EXPECT_EQ(ToYaml(Fields::Of(again)), yaml);
  for (const char* text :
       {"null", "Null", "NULL", "~", "true", "TRUE", "-1", "0x1", ".inf", "", " a ", "a: b", "# a", "a\nb"}) {
    config.id = text;
    ConfigDocument::FromText(ToYaml(Fields::Of(config)), "f.yaml").ReadInto(Fields::Of(again));
    EXPECT_EQ(again.id, text);
  }
}

TEST(Config, ATextIsFoundByItsPath) {
  const ConfigDocument document =
      ConfigDocument::FromText("env: {id: A, options: {xml_file: \"a, b.xml\", list: [1]}}\nname: null\n", "f.yaml");
  EXPECT_EQ(document.TextAt("env.options.xml_file"), "a, b.xml");
  EXPECT_EQ(document.TextAt("env.id"), "A");
  for (const char* path : {"env", "env.options.list", "env.id.more", "other", "env.other.more"}) {
    EXPECT_EQ(document.TextAt(path), "") << path;
  }
  EXPECT_EQ(document.TextAt("env.id"), "A");
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
  EXPECT_EQ(ErrorOf("id: x\ncount: 0\n"), "f.yaml:2: count: expected auto or an integer at least 1, got 0");
  EXPECT_EQ(ErrorOf("id: x\nchoice: auto\n"), "");
  EXPECT_EQ(ErrorOf("id: x\nchoice: 1\n"), "f.yaml:2: choice: expected auto, true or false, got 1");
  EXPECT_EQ(ErrorOf("id: x\nbounds: [1]\n"), "f.yaml:2: bounds: expected a list of 2 numbers, got [1]");
  EXPECT_EQ(ErrorOf("id: x\ncount: 1.5\n"), "f.yaml:2: count: expected auto or an integer at least 1, got 1.5");
  EXPECT_EQ(ErrorOf("id: x\nflag: yes\n"), "f.yaml:2: flag: expected true or false, got yes");
  EXPECT_EQ(ErrorOf("id: x\ncolour: blue\n"), "f.yaml:2: colour: expected one of red, deep_blue, got blue");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: 0}\n"), "f.yaml:2: inner.rate: expected a number above 0, got 0");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: .nan}\n"), "f.yaml:2: inner.rate: expected a number above 0, got .nan");
  EXPECT_EQ(ErrorOf("id: x\ninner: 3\n"), "f.yaml:2: inner: expected a section of keys, got 3");
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  hidden: [1, 0]\n"),
            "f.yaml:3: inner.hidden: expected an integer at least 1, got 0");
  EXPECT_EQ(ErrorOf("id: x\nlimits: [1, 2, 3]\n"), "f.yaml:2: limits: expected a list of 2 numbers, got [1, 2, 3]");
  EXPECT_EQ(ErrorOf("id: x\nid: y\n"), "f.yaml:2: id: given twice");
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: 1, rate: 2}\n"), "f.yaml:2: inner.rate: given twice");
  EXPECT_EQ(ErrorOf("id: x\nsteps: [1\n").substr(0, 22), "f.yaml:3: not YAML: en");
  EXPECT_EQ(ErrorOf("- a\n"), "f.yaml: expected a file of keys and values, got [a]");
  EXPECT_EQ(ErrorOf(""), "f.yaml: expected a file of keys and values, got nothing");
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  rate: 50\n"), "f.yaml:2: inner: expected a rate below steps");
  const std::string of_a_key = "inner.rate: expected another than 7, got 7";
  EXPECT_EQ(ErrorOf("id: x\ninner:\n  hidden: [1]\n  rate: 7\n"), "f.yaml:4: " + of_a_key);
  EXPECT_EQ(ErrorOf("id: x\ninner: {rate: 1}\n", {"inner.rate=7"}), "--set inner.rate=7: " + of_a_key);
  EXPECT_EQ(ErrorOf("id: x\nlimits: [1, 0]\n"),
            "f.yaml:2: limits: expected [LOW, HIGH] with LOW at most HIGH, got [1, 0]");
  EXPECT_EQ(ErrorOf("id: x\nbounds: [0.5, 0.5]\n"), "");
  EXPECT_EQ(ErrorOf("id: plain\nlate:\n  rate: 1\n"), "f.yaml:3: late.rate: no such key; there are none here");
  EXPECT_EQ(ErrorOf("id: x\nlength: [5, 1, 1, 2]\n"),
            "f.yaml:2: length: expected [a, b, x, y] with a at most b, got [5, 1, 1, 2]");
  EXPECT_EQ(ErrorOf("id: x\nlength: [1, 5, 1]\n"),
            "f.yaml:2: length: expected a length or [a, b, x, y], got [1, 5, 1]");
  EXPECT_EQ(ErrorOf("id: x\nlength: [1, .inf, 1, 2]\n").substr(0, 42), "f.yaml:2: length: expected epochs a and b ");
  for (const char* bad : {"0", ".nan", ".inf", "1001", "1.5"}) {
    EXPECT_EQ(ErrorOf("id: x\nlength: " + std::string(bad) + "\n"),
              "f.yaml:2: length: expected a length at least 1 and at most 1000, got " + std::string(bad));
  }
  for (const char* bad : {"0.5", ".nan", ".inf", "1e18"}) {
    for (const auto& [x, y] : {std::pair(bad, "1"), std::pair("1", bad)}) {
      EXPECT_EQ(ErrorOf(Text("id: x\nlength: [0, 5, ", x, ", ", y, "]\n")),
                Text("f.yaml:2: length: expected lengths x and y at least 1 and at most 1000, got ", bad));
    }
  }
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

// Paint that is read only where there is a wall, a shade only where the paint is red.
struct House {
  bool wall = true;
  struct Paint {
    Colour colour = Colour::kRed;
    int64_t shade = 5;
    void Visit(Fields& fields) {
      fields("colour", colour, "a colour");
      fields.When({.key = "paint.colour", .wanted = "red", .holds = [this] { return colour == Colour::kRed; }}, [&] {
        fields("shade", shade, "a shade", AtLeast(1));
        fields.Check([this] { return shade != 3; }, "another shade than 3");
      });
    }
  };
  Paint paint;
  void Visit(Fields& fields) {
    fields("wall", wall, "whether there is one");
    fields.When({.key = "wall", .wanted = "true", .holds = [this] { return wall; }},
                [&] { fields("paint", paint, "its paint"); });
  }
};

// The resolved config, or the error. A layer for each list of assignments.
std::string Resolve(const std::string& yaml, const std::vector<std::vector<std::string>>& layers = {},
                    bool leave_out_unread = false) {
  House house;
  try {
    ConfigDocument document = ConfigDocument::FromText(yaml, "f.yaml");
    if (leave_out_unread) {
      document.WrittenBy("Reverie 0.0.1");
    }
    for (const std::vector<std::string>& layer : layers) {
      document.Set(std::vector<ConfigAssignment>(layer.begin(), layer.end()));
    }
    document.ReadInto(Fields::Of(house));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return ToYaml(Fields::Of(house));
}

constexpr const char* kNoWall = "wall: false\n";
constexpr const char* kBluePaint = "wall: true\npaint:\n  colour: deep_blue\n";

TEST(Config, AKeyThatIsNotReadIsRefusedByTheLayerThatGivesIt) {
  EXPECT_EQ(Resolve("paint: {colour: deep_blue}\n"), kBluePaint);
  EXPECT_EQ(Resolve("paint:\n  colour: deep_blue\n  shade: 4\n"),
            "f.yaml:3: paint.shade: is read only where paint.colour is red");
  EXPECT_EQ(Resolve("wall: false\npaint:\n  shade: 4\n"), "f.yaml:3: paint.shade: is read only where wall is true");
  EXPECT_EQ(Resolve("wall: false\npaint: 4\n"), "f.yaml:2: paint: is read only where wall is true");
  EXPECT_EQ(Resolve("paint: {colour: deep_blue}\n", {{"paint.shade=4"}}),
            "--set paint.shade=4: paint.shade: is read only where paint.colour is red");
  // Of one layer, in whatever order.
  EXPECT_EQ(Resolve("wall: true\n", {{"paint.shade=4", "paint.colour=deep_blue"}}),
            "--set paint.shade=4: paint.shade: is read only where paint.colour is red");
  EXPECT_EQ(Resolve("wall: true\n", {{"paint={shade: 4, colour: deep_blue}"}}),
            "--set paint={shade: 4, colour: deep_blue}: paint.shade: is read only where paint.colour is red");
  // A later layer that does not give what decides.
  EXPECT_EQ(Resolve("paint: {colour: deep_blue, shade: 4}\n", {{"wall=true"}}),
            "f.yaml:1: paint.shade: is read only where paint.colour is red");
}

TEST(Config, AKeyThatALaterLayerMakesUnreadIsLeftOut) {
  EXPECT_EQ(Resolve("paint: {shade: 4}\n", {{"paint.colour=deep_blue"}}), kBluePaint);
  EXPECT_EQ(Resolve("paint: {shade: 4}\n", {{"wall=false"}}), kNoWall);
  EXPECT_EQ(Resolve("wall: true\n", {{"paint={shade: 4}"}, {"wall=false"}}), kNoWall);
  EXPECT_EQ(Resolve("wall: true\n", {{"wall=false"}, {"paint={shade: 4}"}}),
            "--set paint={shade: 4}: paint.shade: is read only where wall is true");
  // What a layer replaces as a whole is of that layer.
  EXPECT_EQ(Resolve("wall: true\n", {{"paint.shade=4"}, {"paint={shade: 6}"}, {"wall=true"}, {"wall=false"}}), kNoWall);
  EXPECT_EQ(Resolve("wall: true\n", {{"paint.shade=4"}, {"wall=false"}, {"paint={shade: 6}"}}),
            "--set paint={shade: 6}: paint.shade: is read only where wall is true");
  // Nothing is asked of a value that is left out.
  EXPECT_EQ(Resolve("paint: {shade: 3}\n", {{"wall=false"}}), kNoWall);
  EXPECT_EQ(Resolve("paint: {shade: 3}\n"), "f.yaml:1: paint.shade: expected another shade than 3, got 3");
}

TEST(Config, WhatARunOfAnOlderVersionListsIsLeftOutWhatIsSetIsNot) {
  const std::string all = "wall: false\npaint: {colour: deep_blue, shade: 4}\n";
  EXPECT_EQ(Resolve(all, {}, true), kNoWall);
  EXPECT_EQ(Resolve(all, {{"wall=true"}}, true), kBluePaint);
  EXPECT_EQ(Resolve(all, {{"paint.shade=3"}}, true),
            "--set paint.shade=3: paint.shade: is read only where wall is true");
  EXPECT_EQ(Resolve("paint: {colour: deep_blue, shde: 4}\n", {}, true),
            "f.yaml:1: paint.shde: no such key; did you mean paint.shade?; this config was written by Reverie 0.0.1");
}

TEST(Config, TheReferenceSaysWhenAKeyIsRead) {
  House house;
  EXPECT_EQ(ToReference(Fields::Of(house)), R"(wall
    true or false, default true
    whether there is one
paint
    section, read only where wall is true: its paint
paint.colour
    red | deep_blue, default red
    a colour
paint.shade
    integer in [1, .inf), default 5, read only where paint.colour is red
    a shade
)");
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
  // A choice within the options of another too.
  for (const bool outer_first : {true, false}) {
    const ConfigAssignment outer{"planner.kind=ilqs", ""};
    const ConfigAssignment inner{"planner.options.sampler.kind=mppi", ""};
    EXPECT_EQ(AfterSets(outer_first ? std::vector{outer, inner} : std::vector{inner, outer}),
              "planner.kind=ilqs planner.horizon=9 planner.options.sampler.kind=mppi ");
  }

  ConfigDocument document =
      ConfigDocument::FromText("env:\n  id: a\n  options:\n    repeat: 2\n    skip: 1\n", "c.yaml");
  document.Set("env.id=a");
  EXPECT_THAT(document.Dropped(), testing::IsEmpty());
  document.Set("env.id=b");
  document.Set("env.id=c");  // of which nothing is left to drop
  EXPECT_THAT(document.Dropped(),
              testing::ElementsAre("env.options {repeat: 2, skip: 1} of a is dropped, as env.id is now b; "
                                   "env.options.NAME=VALUE gives it its own"));

  // Start states and columns are of one environment, how many frames are seen is not.
  ConfigDocument seen = ConfigDocument::FromText(
      "env:\n  id: a\n  start_states:\n    - [1, 2]\n  observe:\n    columns: [0]\n    frames: 2\n", "c.yaml");
  seen.Set({{"env.observe.frames=3", ""}, {"env.id=b", ""}});
  EXPECT_THAT(seen.Dropped(),
              testing::ElementsAre("env.start_states [[1, 2]] of a is dropped, as env.id is now b; "
                                   "env.start_states=VALUE gives it its own",
                                   "env.observe {columns: [0], frames: 2} of a is dropped, as env.id is "
                                   "now b; env.observe.NAME=VALUE gives it its own"));
  seen.Set("env.id=c");
  EXPECT_EQ(seen.Dropped().size(), 2U);
  std::string id;
  int64_t frames = 1;
  Fields fields;
  fields.Section("env", "", [&](Fields& section) {
    section.Required("id", id, "");
    section.Section("observe", "", [&](Fields& observe) { observe("frames", frames, "", AtLeast(1)); });
  });
  seen.ReadInto(fields);
  EXPECT_EQ(id, "c");
  EXPECT_EQ(frames, 3);
}

struct NutMaker {
  std::function<Fields()> options;
  std::function<double()> weight;
};
struct NutOptions {
  double size = 1;
  bool salted = false;
  void Visit(Fields& fields) {
    fields("size", size, "cm", Above(0));
    fields("salted", salted, "with salt");
  }
};
struct OtherOptions {
  double size = 5;
  int64_t halves = 2;
  void Visit(Fields& fields) {
    fields("size", size, "mm", Above(0));
    fields("halves", halves, "pieces", AtLeast(1));
  }
};
std::vector<Kind<NutMaker>> Nuts() {
  const auto kind = [](auto options, std::string name, std::vector<Kind<NutMaker>::Former> former) {
    const auto maker = [options] {
      auto own = std::make_shared<decltype(options)>(options);
      return NutMaker{.options = [own] { return Fields::Of(*own); }, .weight = [own] { return own->size; }};
    };
    return Kind<NutMaker>{.name = name, .summary = "a nut", .maker = maker, .former = std::move(former)};
  };
  return {kind(NutOptions(), "peanut", {{.name = "salty", .key = "salted", .value = true}}),
          kind(OtherOptions(), "walnut", {})};
}
// A kind with keys beside it and one with options in a section.
struct NutBowl {
  Choice<NutMaker> beside{"beside.kind", Nuts(), "peanut"};
  Choice<NutMaker> within{"within.kind", Nuts(), "peanut"};
  void Visit(Fields& fields) {
    fields.Section("beside", "", [this](Fields& section) {
      beside.VisitKind(section, "the nut");
      beside.VisitOptions(section);
    });
    fields.Section("within", "", [this](Fields& section) {
      within.VisitKind(section, "the nut");
      section.Section("options", "", [this](Fields& options) { within.VisitOptions(options); });
    });
  }
};
std::string Resolved(const std::string& yaml, const std::vector<std::vector<ConfigAssignment>>& layers = {}) {
  ConfigDocument document = ConfigDocument::FromText(yaml, "c.yaml");
  for (const std::vector<ConfigAssignment>& layer : layers) {
    document.Set(layer);
  }
  NutBowl bowl;
  document.ReadInto(Fields::Of(bowl));
  return ToYaml(Fields::Of(bowl));
}

auto Complains(const std::string& text) {
  return testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(text));
}

TEST(Choice, OnlyTheChosenKindsKeysAreRead) {
  EXPECT_EQ(Resolved("beside: {kind: walnut, halves: 3}"),
            "beside:\n  kind: walnut\n  size: 5\n  halves: 3\n"
            "within:\n  kind: peanut\n  options:\n    size: 1\n    salted: false\n");
  EXPECT_THAT([] { Resolved("beside: {halves: 3}"); },
              Complains("c.yaml:1: beside.halves: is read only where beside.kind is walnut"));
  EXPECT_THAT([] { Resolved("within: {kind: walnut, options: {salted: true}}"); },
              Complains("c.yaml:1: within.options.salted: is read only where within.kind is peanut"));
  EXPECT_THAT([] { Resolved("beside: {size: 0}"); }, Complains("beside.size: expected a number above 0, got 0"));
  EXPECT_THAT([] { Resolved("beside: {kind: cashew}"); },
              Complains("beside.kind: expected one of peanut, walnut, got cashew"));
  NutBowl bowl;
  const std::string reference = ToReference(Fields::Of(bowl));
  EXPECT_THAT(reference,
              testing::HasSubstr("within.kind\n    peanut | walnut, default peanut\n    the nut: peanut is a"));
  EXPECT_THAT(reference,
              testing::HasSubstr("within.options.halves\n    integer in [1, .inf), default 2, read only where "
                                 "within.kind is walnut"));
}

TEST(Choice, AFormerNameMeansWhatItMeant) {
  EXPECT_EQ(Resolved("beside: {kind: salty, size: 2}"), Resolved("beside: {kind: peanut, salted: true, size: 2}"));
  EXPECT_EQ(Resolved("beside: {}", {{{"beside.kind=salty", ""}}}), Resolved("beside: {salted: true}"));
}

TEST(Choice, TheOptionsOfTheDefaultGoWithIt) {
  const std::string yaml = "within: {options: {size: 7, salted: true}}";
  EXPECT_EQ(Resolved(yaml, {{{"within.kind=walnut", ""}}}), Resolved("within: {kind: walnut}"));
  EXPECT_EQ(Resolved(yaml, {{{"within.kind=peanut", ""}}}), Resolved(yaml));
  EXPECT_EQ(Resolved(yaml, {{{"within.options.size=9", ""}, {"within.kind=walnut", ""}}}),
            Resolved("within: {kind: walnut, options: {size: 9}}"));
  EXPECT_EQ(Resolved(yaml, {{{"within.kind=walnut", ""}}, {{"within.kind=walnut", ""}, {"within.options.size=9", ""}}}),
            Resolved("within: {kind: walnut, options: {size: 9}}"));
  // A whole section is a layer like its keys.
  EXPECT_EQ(Resolved(yaml, {{{"within={kind: walnut, options: {size: 9}}", ""}}}),
            Resolved("within: {kind: walnut, options: {size: 9}}"));
  EXPECT_EQ(Resolved("within: {}", {{{"within.options.size=7", ""}}, {{"within.kind=walnut", ""}}}),
            Resolved("within: {kind: walnut}"));
  EXPECT_EQ(Resolved(yaml, {{{"within.kind=walnut", ""}}, {{"within.kind=peanut", ""}}}), Resolved("within: {}"));
}

// As much as for options, where both kinds have a key of the name.
TEST(Choice, WhatWasSaidOfAnotherKindBesideItGoesWithIt) {
  for (const std::string yaml : {"beside: {size: 7, salted: true}", "beside: {kind: peanut, size: 7, salted: true}"}) {
    EXPECT_EQ(Resolved(yaml, {{{"beside.kind=walnut", ""}}}), Resolved("beside: {kind: walnut}"));
    EXPECT_EQ(Resolved(yaml, {{{"beside.kind=peanut", ""}}}), Resolved(yaml));
    EXPECT_EQ(Resolved(yaml, {{{"beside.size=9", ""}, {"beside.kind=walnut", ""}}}),
              Resolved("beside: {kind: walnut, size: 9}"));
  }
}

TEST(Choice, ReadingLeavesTheDocumentAsItIs) {
  ConfigDocument document = ConfigDocument::FromText("within: {options: {size: 7}}\nbeside: {size: 3}", "c.yaml");
  document.Set({ConfigAssignment("within.kind=walnut"), ConfigAssignment("beside.kind=walnut")});
  const size_t leaves = document.Leaves().size();
  std::string first;
  for (int time = 0; time < 2; ++time) {
    NutBowl bowl;
    document.ReadInto(Fields::Of(bowl));
    const std::string resolved = ToYaml(Fields::Of(bowl));
    EXPECT_EQ(resolved, time == 0 ? resolved : first);
    first = resolved;
    EXPECT_EQ(document.Leaves().size(), leaves);
  }
}

TEST(Choice, HintsAreOfKeysThatCanBeRead) {
  EXPECT_THAT([] { Resolved("within: {options: {halfs: 3}}"); },
              Complains("within.options.halfs: no such key; known here: size salted"));
  EXPECT_THAT([] { Resolved("within: {kind: walnut, options: {halfs: 3}}"); },
              Complains("within.options.halfs: no such key; did you mean within.options.halves?"));
  EXPECT_THAT([] { Resolved("beside: {kind: walnut, halfs: 3}"); }, Complains("did you mean beside.halves?"));
}

TEST(Choice, AKindThatIsNotThereIsABug) {
  EXPECT_THROW(Choice<NutMaker>("nut.kind", Nuts(), "cashew"), std::logic_error);
}

}  // namespace
}  // namespace reverie
