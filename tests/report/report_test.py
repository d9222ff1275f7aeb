"""The command `reverie compare` as a user meets it.

usage: report_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import csv
import functools
import http.client
import io
import itertools
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(sys.argv[2]).resolve()
MARKS = SOURCE / "configs/references"

sys.path.append(str(SOURCE / "scripts/lib"))
import tables  # noqa: E402


def make_run(folder, task, variant, seed, returns, every=100, status="finished", **facts):
    """A run as the program leaves it, with these evaluation returns."""
    folder.mkdir(parents=True)
    record = {"version": "0.1.0", "git_revision": "abc", "algorithm": "mbpo", "env": task, "variant": variant,
              "seed": seed, "device": "cpu", "threads": 1, "libraries": {"LibTorch": "2.11.0"}, "hostname": "here",
              "started": "2026-01-01T00:00:00Z", "resumed": [], "status": status, "reason": "",
              "env_steps": every * (len(returns) - 1), "wall_s": 1.0 * len(returns)}
    (folder / "run.json").write_text(json.dumps({**record, **facts}))
    (folder / "config.yaml").write_text(f"algorithm: mbpo\nseed: {seed}\nvariant: {variant}\nenv:\n  id: {task}\n"
                                        f"uncertainty:\n  use: {variant}\n")
    lines = ["env_step,wall_s,return_mean,return_std"]
    lines += [f"{every * i},{i},{value},0.5" for i, value in enumerate(returns)]
    (folder / "eval.csv").write_text("\n".join(lines) + "\n")
    lines = ["env_step,updates,model/open_loop_error_1,rollout/uncertainty/ensemble_std_q50"]
    lines += [f"{every * i},{i},{1 / (i + seed + 1)},{'' if i % 2 else i + 1}" for i in range(len(returns))]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cwd = pathlib.Path(folder.name)

    def compare(self, *arguments, code=0):
        result = subprocess.run([PROGRAM, "compare", *map(str, arguments)], cwd=self.cwd, capture_output=True, text=True)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def make_sweep(self, tasks=("Hopper-v5", "Pendulum-v1"), variants=("none", "penalty"), seeds=5, every=100):
        for task in tasks:
            for v, variant in enumerate(variants):
                for seed in range(seeds):
                    returns = [(v + 1) * i * (10 + seed) for i in range(21)]
                    make_run(self.cwd / "sweep" / task / variant / f"seed-{seed}", task, variant, seed, returns, every)
        return "sweep"


class Numbers(Case):
    def test_json_csv_and_the_table_say_the_same(self):
        sweep = self.make_sweep()
        summary = json.loads(self.compare(sweep, "--json", "--at", "1000", "--reach", "200,Pendulum-v1=100").stdout)
        self.assertEqual([task["name"] for task in summary["tasks"]], ["Hopper-v5", "Pendulum-v1"])
        none, penalty = summary["tasks"][0]["groups"]
        # Evaluations at 1900 and 2000 of 10 ... 14 a step; of five runs the middle three.
        self.assertEqual(none["iqm"]["value"], 19.5 * 12)
        self.assertEqual(penalty["iqm"]["value"], 2 * 19.5 * 12)
        self.assertEqual(none["at_steps"][0]["value"], 10 * 12)
        self.assertEqual(none["reached"], {"return": 200, "runs": 5, "median_steps": 1700, "median_hours": 17 / 3600})
        self.assertEqual(summary["tasks"][1]["groups"][0]["reached"]["return"], 100)
        self.assertEqual([warning for warning in summary["warnings"] if "to reach" in warning], [])
        for task, hint in (("Pendulum-v2", "; did you mean Pendulum-v1?"), ("Ant-v5", ".")):
            warnings = json.loads(self.compare(sweep, "--json", "--reach", f"{task}=1").stdout)["warnings"]
            self.assertIn(f"A return to reach was given for {task}, of which there is no run{hint}", warnings)
        first = summary["tasks"][0]["probability_of_improvement"][0]
        self.assertEqual((first["x"], first["y"], first["value"]), (0, 1, 0))
        # With what the one reads by default and the other does not.
        self.assertEqual(summary["tasks"][0]["config_differences"],
                         [{"key": f"uncertainty.{key}", "values": values} for key, values in (
                             ("coefficient", ["", "1"]), ("measure", ["", "ensemble_std"]), ("over", ["", "elites"]),
                             ("scale", ["", "target_std"]), ("use", ["none", "penalty"]))])

        self.compare(sweep, "--out", "report", "--at", "1000", "--reach", "200,Pendulum-v1=100")
        self.assertEqual(json.loads((self.cwd / "report/summary.json").read_text()), summary)
        header, first, *rest = (self.cwd / "report/summary.csv").read_text().splitlines()
        cells = dict(zip(header.split(","), first.split(",")))
        self.assertEqual((cells["task"], cells["group"], cells["runs"]), ("Hopper-v5", "none", "5"))
        self.assertEqual(float(cells["iqm"]), 234)
        self.assertEqual(float(cells["iqm_low"]), none["iqm"]["low"])
        self.assertEqual(len(rest), 3)
        table = self.compare(sweep).stdout
        self.assertIn("P(none > penalty) = 0 [0, 0]", table)
        self.assertRegex(table, r"penalty +5 +468 \[\d+, \d+\] +468")

    def test_normalised_scores(self):
        self.make_sweep()
        (self.cwd / "n.yaml").write_text("Hopper-v5: [34, 234]\nPendulum-v1: [134, 234]\n")
        summary = json.loads(self.compare("sweep", "--json", "--normalise", "n.yaml").stdout)
        self.assertEqual(summary["overall"]["groups"][0]["mean"]["value"], 1)
        (self.cwd / "n.yaml").write_text("Hopper-v5: [234, 34]\n")
        self.assertIn("n.yaml:1: Hopper-v5: expected [LOW, HIGH]",
                      self.compare("sweep", "--normalise", "n.yaml", code=2).stderr)

    def test_published_marks_are_read(self):
        self.make_sweep()
        for file in sorted(MARKS.glob("*.csv")):
            summary = json.loads(self.compare("sweep", "--json", "--published", file).stdout)
            self.assertGreaterEqual(len(summary["tasks"][0]["published"]), 2, file)
            self.assertEqual(len(summary["tasks"][0]["groups"]), 2)

    def test_the_variant_is_the_configs(self):
        self.make_sweep(tasks=["Hopper-v5"], variants=["none"], seeds=2)
        config = self.cwd / "sweep/Hopper-v5/none/seed-1/config.yaml"
        for variant, groups in (('"other, \\"one\\""', ["none", 'other, "one"']), ('""', ["none", "mbpo"])):
            config.write_text(re.sub("variant: .*", lambda _: f"variant: {variant}", config.read_text()))
            summary = json.loads(self.compare("sweep", "--json").stdout)
            self.assertEqual([group["name"] for group in summary["tasks"][0]["groups"]], groups)
            self.assertEqual([run["group"] for run in summary["runs"]], groups)
            self.assertEqual([text for text in summary["warnings"] if "variant" in text], [])

    def test_a_seed_that_is_there_twice_divides_its_group_by_folders(self):
        self.make_sweep()
        for seed in range(2):
            make_run(self.cwd / f"sweep/none-Hopper-v5/seed-{seed}", "Hopper-v5", "none", seed, [1] * 21)
        summary = json.loads(self.compare("sweep", "--json").stdout)
        names = ["none in sweep", "penalty", "none in sweep/none-Hopper-v5"]
        self.assertEqual([(group["name"], len(group["runs"])) for group in summary["tasks"][0]["groups"]],
                         list(zip(names, (5, 5, 2))))
        self.assertEqual(sorted({run["group"] for run in summary["runs"] if run["task"] == "Hopper-v5"}), sorted(names))
        self.assertEqual(len([text for text in summary["warnings"] if "groups by their folders" in text]), 1)
        self.assertRegex(self.compare("sweep").stdout, r"\n *none in sweep/none-Hopper-v5 +2 +1 \[1, 1\]")

    def test_kept_results_compare(self):
        for folder, groups in (("mbpo-half_cheetah", 2), (".", 10)):
            summary = json.loads(self.compare(SOURCE / "results" / folder, "--json", "--draws", 10).stdout)
            self.assertGreaterEqual(sum(len(task["groups"]) for task in summary["tasks"]), groups)

    def test_links_are_followed_once(self):
        self.make_sweep(tasks=["Hopper-v5"], seeds=2)
        make_run(self.cwd / "elsewhere", "Hopper-v5", "none", 7, [1, 2, 3])
        for name, target in (("Hopper-v5/none/again", "seed-0"), ("Hopper-v5/up", ".."), ("itself", "itself"),
                             ("gone", "nowhere"), ("linked", "../elsewhere")):
            (self.cwd / "sweep" / name).symlink_to(target)
        runs = json.loads(self.compare("sweep", "--json").stdout)["runs"]
        self.assertEqual(sorted((run["group"], run["seed"]) for run in runs),
                         [("none", 0), ("none", 1), ("none", 7), ("penalty", 0), ("penalty", 1)])

    def test_marks_and_runs_that_a_spreadsheet_program_saved_are_the_same(self):
        self.make_sweep(tasks=["Hopper-v5"], seeds=1)
        marks = [["task", "algorithm", "env_step", "return_mean", "return_std", "source"],
                 ["Hopper-v5", "MBPO", "1000", "-12.5", "3", 'Janner, "When to\nTrust"'],
                 ["Hopper-v5", "SAC", "2000", "7", "", "last line"]]
        expected = [{"algorithm": "MBPO", "env_step": 1000, "return_mean": -12.5, "return_std": 3, "source": marks[1][5]},
                    {"algorithm": "SAC", "env_step": 2000, "return_mean": 7, "return_std": None, "source": "last line"}]
        logs = [path for name in ("eval.csv", "train.csv") for path in self.cwd.rglob(name)]
        plain = {path: path.read_text().splitlines() for path in logs}
        for line_break, quoting, encoding in itertools.product(("\n", "\r\n"), (csv.QUOTE_MINIMAL, csv.QUOTE_ALL),
                                                               ("utf-8", "utf-8-sig")):
            def write(path, rows, end):
                text = io.StringIO()
                csv.writer(text, lineterminator=line_break, quoting=quoting).writerows(rows)
                path.write_bytes((text.getvalue().rstrip() + end).encode(encoding))

            for path, lines in plain.items():
                write(path, csv.reader(lines), line_break)
                self.assertEqual(tables.rows(path), list(csv.DictReader(lines)))
            for end in ("", line_break, 2 * line_break):
                write(self.cwd / "m.csv", marks, end)
                task = json.loads(self.compare("sweep", "--json", "--published", "m.csv").stdout)["tasks"][0]
                self.assertEqual(task["published"], expected)
                self.assertEqual([group["scores"] for group in task["groups"]], [[195], [390]])

    def test_a_run_named_twice_counts_once(self):
        self.make_sweep(tasks=["Hopper-v5"], seeds=2)
        summary = json.loads(self.compare("sweep", "sweep/Hopper-v5/none", "--json").stdout)
        self.assertEqual(summary["tasks"][0]["groups"][0]["seeds"], [0, 1])


class Broken(Case):
    """A clear word each, and never a wrong number. What is wrong with one run does not keep the others from being compared."""

    def setUp(self):
        super().setUp()
        self.good = make_run(self.cwd / "runs/seed-0", "Hopper-v5", "none", 0, [1, 2, 3])
        self.bad = make_run(self.cwd / "runs/seed-1", "Hopper-v5", "none", 1, [1, 2, 3])

    def refuse(self, *words):
        result = self.compare("runs", "--out", "report", code=2)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertFalse((self.cwd / "report").exists())

    def leave_out(self, *words):
        """The bad run is named, with what is wrong, and the good one compared."""
        for arguments in (["runs"], [self.good.relative_to(self.cwd), self.bad.relative_to(self.cwd)]):
            result = self.compare(*arguments, "--json", "--out", "report", code=3)
            self.assertEqual(result.stderr.splitlines()[-1], "error: compared without what cannot be read: runs/seed-1")
            summary = json.loads(result.stdout)
            self.assertEqual([run["seed"] for run in summary["runs"]], [0])
            warning = [warning for warning in summary["warnings"] if "cannot be read and is left out" in warning]
            self.assertEqual(len(warning), 1)
            for word in words:
                self.assertIn(word, warning[0])
            self.assertEqual(json.loads((self.cwd / "report/summary.json").read_text()), summary)
            shutil.rmtree(self.cwd / "report")

    def accept(self, *words, seeds):
        result = json.loads(self.compare("runs", "--json").stdout)
        for word in words:
            self.assertTrue(any(word in warning for warning in result["warnings"]), result["warnings"])
        self.assertEqual(result["tasks"][0]["groups"][0]["seeds"], seeds)
        return result["tasks"][0]["groups"][0]

    def test_an_empty_run(self):
        for run in (self.bad, self.good):
            (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "running"))
        (self.bad / "eval.csv").write_text("env_step,wall_s,return_mean\n")
        self.accept("runs/seed-1 has no evaluation yet and is left out", seeds=[0])
        (self.good / "eval.csv").write_text("env_step,wall_s,return_mean\n")
        self.refuse("there is nothing to compare", "seed-0")

    def test_a_finished_run_without_its_end(self):
        whole = (self.bad / "eval.csv").read_text()
        for text, what in ((whole[:whole.rindex("200,")], "ends at env step 100"), (whole[:-2], "ends at env step 100"),
                           ("env_step,wall_s,return_mean\n", "has no evaluation")):
            (self.bad / "eval.csv").write_text(text)
            self.leave_out(f"runs/seed-1/eval.csv: {what}, but run.json says that the run finished at 200")

    def test_a_run_without_evaluations_file(self):
        (self.bad / "eval.csv").unlink()
        self.leave_out("runs/seed-1/eval.csv: no such file")
        (self.good / "eval.csv").unlink()
        self.refuse("there is nothing to compare", "runs/seed-0/eval.csv: no such file", "runs/seed-1/eval.csv: no such file")

    def test_a_record_that_leads_to_itself(self):
        (self.bad / "run.json").unlink()
        (self.bad / "run.json").symlink_to("run.json")
        self.leave_out("runs/seed-1")

    def test_an_empty_file(self):
        (self.bad / "eval.csv").write_text("")
        self.leave_out("runs/seed-1/eval.csv: has no column env_step")

    def test_a_line_that_is_cut_in_the_middle(self):
        (self.bad / "eval.csv").write_text("env_step,wall_s,return_mean\n0,0,1\n100,1\n200,2,3\n")
        self.leave_out("runs/seed-1/eval.csv:3: has 2 fields, the header 3")

    def test_a_run_that_is_being_written(self):
        (self.bad / "run.json").write_text((self.bad / "run.json").read_text().replace("finished", "running"))
        with open(self.bad / "eval.csv", "a") as file:
            file.write("300,3,1")  # of 1234.5, say
        group = self.accept("last line of runs/seed-1/eval.csv is not whole", "Not finished: runs/seed-1", seeds=[0, 1])
        self.assertEqual(group["scores"], [3, 3])

    def test_a_missing_column(self):
        (self.bad / "eval.csv").write_text("env_step,wall_s\n0,0\n")
        self.leave_out("runs/seed-1/eval.csv: has no column return_mean")

    def test_a_return_that_is_no_number(self):
        for word in ("nan", "inf", ""):
            (self.bad / "eval.csv").write_text(f"env_step,wall_s,return_mean\n0,0,1\n100,1,{word}\n")
            self.leave_out("runs/seed-1/eval.csv:3: return_mean: expected a finite number")
        (self.bad / "eval.csv").write_text("env_step,wall_s,return_mean\n0,0,1\n100,1,1O0\n")
        self.leave_out("runs/seed-1/eval.csv:3: return_mean: expected a finite number, got '1O0'")

    def test_steps_that_do_not_rise(self):
        (self.bad / "eval.csv").write_text("env_step,wall_s,return_mean\n100,0,1\n100,1,1\n")
        self.leave_out("runs/seed-1/eval.csv:3: env_step: expected more than in the row before")

    def test_two_runs_of_one_seed(self):
        make_run(self.cwd / "runs/again", "Hopper-v5", "none", 1, [1, 2, 3])
        self.refuse("runs/again", "runs/seed-1", "are the same seed, 1, of none in runs on Hopper-v5, which counts once; leave one")

    def test_a_folder_without_runs(self):
        (self.cwd / "empty").mkdir()
        self.assertIn("empty: there is no run in it", self.compare("empty", code=2).stderr)
        self.assertIn("missing: expected the folder of a run", self.compare("missing", code=2).stderr)

    def test_a_record_that_is_torn(self):
        (self.bad / "run.json").write_text('{"version": "0.')
        self.leave_out("runs/seed-1/run.json does not describe a run")


class Browser(Case):
    @functools.cached_property
    def browser(self):
        from playwright.sync_api import sync_playwright

        playwright = sync_playwright().start()
        self.addCleanup(playwright.stop)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        self.addCleanup(browser.close)
        return browser

    def open_page(self, url, dark=False, width=1200, touch=False):
        """The page in headless Chromium; self.wrong and self.asked have what went wrong and what it asked for."""
        page = self.browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
                                     has_touch=touch, is_mobile=touch)
        self.wrong, self.asked = [], []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and self.wrong.append(message.text))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(url)
        page.wait_for_selector("body[data-drawn]", timeout=60_000)
        return page

    def wait_until(self, page, condition):
        """Until the JavaScript holds; the page's own policy forbids what Playwright does for that."""
        deadline = time.monotonic() + 30
        while not page.evaluate(condition):
            self.assertLess(time.monotonic(), deadline, condition)
            page.wait_for_timeout(100)


class Page(Browser):
    """The page in a real browser: every chart drawn, no error, and nothing asked of any network."""

    def open(self, folder, **how):
        return self.open_page((self.cwd / folder / "index.html").as_uri(), **how)

    def check_quiet(self):
        self.assertEqual(self.wrong, [])
        self.assertEqual([url for url in self.asked[1:] if not url.startswith(("data:", "blob:"))], [])

    def traces(self, page):
        """The number of lines and groups of points drawn in each chart."""
        return page.eval_on_selector_all(
            ".chart", "charts => charts.map(c => c.querySelectorAll('.scatterlayer .trace').length)")

    def test_everything_is_drawn_and_nothing_is_fetched(self):
        self.make_sweep(every=3000)
        (self.cwd / "n.yaml").write_text("Hopper-v5: [0, 500]\nPendulum-v1: [0, 500]\n")
        self.compare("sweep", "--out", "report", "--normalise", "n.yaml", "--published", MARKS / "mbpo.csv")
        page = self.open("report")
        # A task: returns, scores, profile, improvement, model; over all: scores, profile, improvement.
        self.assertEqual(page.get_attribute("body", "data-drawn"), "13")
        traces = self.traces(page)
        self.assertEqual(len(traces), 13)
        self.assertTrue(all(count > 0 for count in traces), traces)
        text = page.inner_text("main")
        for word in ("Hopper-v5", "Pendulum-v1", "penalty", "uncertainty.use", "All tasks", "normalised IQM", "468"):
            self.assertIn(word, text)
        self.assertIn("MBPO, published", page.inner_text("#task-Hopper-v5 .chart >> nth=0"))

        before = traces[0]
        page.check("#seeds")
        self.wait_until(page, f"document.querySelectorAll('.chart')[0].querySelectorAll('.trace').length == {before + 10}")
        page.select_option("select[aria-label=axis]", "hours")
        self.wait_until(page, "document.querySelectorAll('.chart')[0].textContent.includes('hours of training')")
        page.select_option("select[aria-label='model measure'] >> nth=0", "rollout/uncertainty/ensemble_std_q50")
        self.wait_until(page, "document.body.textContent.includes('Hopper-v5: rollout/uncertainty/ensemble_std_q50')")
        self.check_quiet()

    def test_a_single_run_without_a_model_is_drawn_too(self):
        run = make_run(self.cwd / "r", "Hopper-v5", "", 0, [1])
        (run / "train.csv").unlink()
        self.compare("r", "--out", "report")
        page = self.open("report")
        self.assertEqual(page.get_attribute("body", "data-drawn"), "3")
        self.assertIn("1 seed says nothing about spread", page.inner_text(".warnings"))
        self.check_quiet()

    def test_names_are_text_and_never_markup(self):
        make_run(self.cwd / "r", "Hopper-v5", "</script><img src=x onerror=alert(1)>", 0, [1, 2])
        self.compare("r", "--out", "report")
        page = self.open("report")
        self.assertIn("</script><img src=x onerror=alert(1)>", page.inner_text("table >> nth=0"))
        self.assertEqual(page.query_selector_all("img"), [])
        self.check_quiet()

    def test_scores_are_points_with_intervals_on_a_scale_of_their_own(self):
        for seed in range(5):
            make_run(self.cwd / f"r/good/{seed}", "Pendulum-v1", "good", seed, [-1000, -150 - seed])
            make_run(self.cwd / f"r/bad/{seed}", "Pendulum-v1", "bad", seed, [-1000, -170 - seed])
        (self.cwd / "n.yaml").write_text("Pendulum-v1: [-1000, -150]\n")
        self.compare("r", "--out", "report", "--normalise", "n.yaml")
        page = self.open("report")
        chart = "document.querySelectorAll('.chart')[1]"
        self.assertEqual(page.evaluate(f"{chart}.querySelectorAll('.barlayer .point').length"), 0)
        low, high = page.evaluate(f"{chart}._fullLayout.xaxis.range")
        self.assertTrue(-180 < low < -174 and -150 < high < -144, (low, high))
        # The better group is further to the right, each diamond within the ends of its interval, as it was drawn.
        lefts = {}
        for name in ("good", "bad"):
            drawn = page.evaluate(f"""(() => {{
                const trace = {chart}.calcdata.findIndex(([point]) => point.trace.error_x.visible && point.trace.y[0] == '{name}');
                const node = {chart}.querySelectorAll('.scatterlayer .trace')[trace];
                const box = (what) => node.querySelector(what).getBoundingClientRect().toJSON();
                return [box('.point'), box('.xerror')];
            }})()""")
            point, interval = drawn
            self.assertLess(interval["left"], point["left"] + point["width"] / 2)
            self.assertGreater(interval["right"], point["left"] + point["width"] / 2)
            self.assertGreater(interval["width"], 10)
            lefts[name] = point["left"]
        self.assertGreater(lefts["good"], lefts["bad"] + 100)
        self.check_quiet()

    def test_groups_named_by_numbers_are_names(self):
        for variant in ("10", "2"):
            make_run(self.cwd / "r" / variant, "Pendulum-v1", variant, 0, [1, 2])
        self.compare("r", "--out", "report")
        page = self.open("report")
        ticks = "[...document.querySelectorAll('.chart')[1].querySelectorAll('.ytick')].map(tick => tick.textContent)"
        self.assertEqual(sorted(page.evaluate(ticks)), ["10", "2"])

    def test_tables_are_not_cut_off(self):
        self.make_sweep(variants=("a_rather_long_name_of_a_variant", "b"))
        self.compare("sweep", "--out", "report", "--at", "1000,2000", "--reach", "200")
        page = self.open("report", width=1110)
        page.click("summary")
        too_wide = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth).length"
        self.assertEqual(page.evaluate(too_wide), 0)
        narrow = self.open("report", width=400, touch=True)
        self.assertEqual(narrow.evaluate("document.documentElement.scrollWidth"), 400)
        # What does not fit is scrolled to, beside the names.
        name, last = narrow.evaluate("""(() => {
            const box = document.querySelector('.scroll');
            box.scrollLeft = box.scrollWidth;
            const row = box.querySelector('tbody tr');
            return [row.firstChild, row.lastChild].map((cell) => cell.getBoundingClientRect().toJSON());
        })()""")
        self.assertGreaterEqual(name["left"], 0)
        self.assertLessEqual(last["right"], 400)
        self.check_quiet()

    def test_nothing_lies_over_anything_else(self):
        self.make_sweep(tasks=["Hopper-v5"], variants=("none", "penalty", "another_variant", "yet_another_variant"), every=3000)
        self.compare("sweep", "--out", "report", "--published", MARKS / "mbpo.csv")
        for how in ({"width": 400, "touch": True}, {"width": 1110, "touch": True}, {"width": 1110}, {"width": 1600, "touch": True}):
            with self.subTest(**how):
                page = self.open("report", **how)
                charts = page.evaluate("""[...document.querySelectorAll('.chart')].map((chart) => {
                    const boxes = {};
                    for (const what of ['.modebar', '.legend', '.xtitle', '.nsewdrag', 'figcaption']) {
                        const node = chart.parentNode.querySelector(what);
                        if (!node) continue;
                        const range = document.createRange();  // of a caption its words, not its box
                        range.selectNodeContents(node);
                        boxes[what] = (what == 'figcaption' ? range : node).getBoundingClientRect().toJSON();
                    }
                    return boxes;
                })""")
                self.assertGreaterEqual(len(charts), 4)
                self.assertGreaterEqual(sum(".legend" in boxes for boxes in charts), 2)
                for boxes in charts:
                    self.assertIn(".modebar", boxes)
                    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
                        apart = (a["right"] <= b["left"] or b["right"] <= a["left"] or a["bottom"] <= b["top"]
                                 or b["bottom"] <= a["top"])
                        self.assertTrue(apart, f"{one} {a} lies over {other} {b}")
                    for what, box in boxes.items():
                        self.assertTrue(0 <= box["left"] and box["right"] <= how["width"], (what, box))

    def test_nothing_offers_to_send_a_chart_away(self):
        make_run(self.cwd / "r", "Hopper-v5", "", 0, [1, 2])
        self.compare("r", "--out", "report")
        page = self.open("report")
        buttons = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)")
        self.assertIn("Zoom in", buttons)
        self.assertEqual([title for title in buttons if "Share" in title or "loud" in title], [])

    def test_dark_mode_and_print_have_colours_of_their_own(self):
        self.make_sweep(tasks=["Hopper-v5"], seeds=2)
        self.compare("sweep", "--out", "report")
        page = self.open("report", dark=True)
        ink = "() => getComputedStyle(document.querySelector('.xtitle')).fill"
        self.assertEqual(page.evaluate(ink), "rgb(230, 233, 238)")
        self.assertEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(20, 23, 27)")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        self.wait_until(page, "getComputedStyle(document.querySelector('.xtitle')).fill == 'rgb(27, 31, 36)'")
        page.emulate_media(media="print")
        self.assertEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.check_quiet()


class Live(Browser):
    """The page that follows running runs."""

    def follow(self, *arguments):
        process = subprocess.Popen([PROGRAM, "compare", *map(str, arguments), "--live", "--port", "0"], cwd=self.cwd,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        for line in process.stderr:
            if found := re.search(r"following at (http://127\.0\.0\.1:(\d+)/)", line):
                return process, found[1], int(found[2])
        self.fail("it follows nothing")

    def ask(self, port, path="/data.json", method="GET", host=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(connection.close)
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def test_new_evaluations_appear_and_faults_are_told(self):
        run = make_run(self.cwd / "r/seed-0", "Hopper-v5", "a", 0, [1, 2, 3], status="running")
        process, url, port = self.follow("r")
        page = self.open_page(url)
        self.assertIn("up to step 200", page.inner_text("main"))
        with open(run / "eval.csv", "a") as file:
            file.write("300,3,77,0.5\n")
        self.wait_until(page, "document.body.textContent.includes('up to step 300')")
        make_run(self.cwd / "r/seed-1", "Hopper-v5", "b", 1, [5, 6, 7, 8])
        self.wait_until(page, "document.querySelector('main').textContent.includes('2 runs:')")
        self.assertEqual(self.wrong, [])
        self.assertTrue(all(asked.startswith((url, "data:", "blob:")) for asked in self.asked), self.asked)

        (run / "eval.csv").write_text("env_step,wall_s\n")
        self.wait_until(page, "document.querySelector('.warnings').textContent.includes('has no column return_mean')")
        (self.cwd / "r/seed-1/eval.csv").unlink()
        self.wait_until(page, "document.querySelector('#live').textContent.includes('there is nothing to compare')")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 0)
        self.wait_until(page, "document.querySelector('#live').textContent.includes('has ended')")

    def test_it_is_read_only_and_for_this_machine_alone(self):
        make_run(self.cwd / "r", "Hopper-v5", "a", 0, [1, 2, 3])
        _, _, port = self.follow("r")
        status, text = self.ask(port)
        self.assertEqual((status, json.loads(text)["runs"][0]["seed"]), (200, 0))
        # Under the names of this machine, whatever port of whose was forwarded here.
        for host in (f"localhost:{port}", "localhost:9999", "LocalHost", "127.0.0.1", "127.0.0.1:80", "[::1]:9999", "[::1]"):
            self.assertEqual(self.ask(port, host=host)[0], 200, host)
        # Under no other, which a foreign page may have led here.
        for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example:80", "evil-localhost",
                     "[::2]", "[::1", "::1", "0.0.0.0", "node7"):
            status, text = self.ask(port, host=host)
            self.assertEqual(status, 403, host)
            self.assertIn("--allow-host NAME", text)
        self.assertEqual(self.ask(port, method="POST")[0], 405)
        self.assertEqual(self.ask(port, path="/../etc/passwd")[0], 404)
        listening = pathlib.Path("/proc/net/tcp").read_text().splitlines()
        self.assertTrue(any(line.split()[1] == f"0100007F:{port:04X}" for line in listening[1:]))  # 127.0.0.1

    def test_other_names_are_allowed_by_name(self):
        make_run(self.cwd / "r", "Hopper-v5", "a", 0, [1, 2, 3])
        _, _, port = self.follow("r", "--allow-host", "node7:8080", "--allow-host", "proxy.example")
        for host, status in (("node7:8787", 200), ("proxy.example", 200), ("localhost", 200), ("example", 403)):
            self.assertEqual(self.ask(port, host=host)[0], status, host)

    def test_the_page_works_behind_a_forwarded_port(self):
        make_run(self.cwd / "r", "Hopper-v5", "a", 0, [1, 2, 3])
        _, _, port = self.follow("r")
        ours = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(ours.close)

        def forward():
            while True:
                try:
                    browser, _ = ours.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port))
                for one, other in ((browser, server), (server, browser)):
                    threading.Thread(target=pump, args=(one, other), daemon=True).start()

        def pump(source, target):
            try:
                while block := source.recv(65536):
                    target.sendall(block)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=forward, daemon=True).start()
        page = self.open_page(f"http://localhost:{ours.getsockname()[1]}/")
        self.assertIn("up to step 200", page.inner_text("main"))
        self.wait_until(page, "document.querySelector('#live').textContent.includes('last looked at')")
        self.assertEqual(self.wrong, [])

    def test_a_port_that_is_taken_is_an_error(self):
        make_run(self.cwd / "r", "Hopper-v5", "a", 0, [1, 2, 3])
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assertIn(f"cannot listen on port {port}", self.compare("r", "--live", "--port", port, code=1).stderr)


class Speed(Case):
    def test_200_runs_of_1000_evaluations_in_5_seconds(self):
        for variant in range(10):
            for seed in range(20):
                returns = [(variant + seed) * i % 977 for i in range(1000)]
                make_run(self.cwd / f"s/{variant}/{seed}", "Hopper-v5", f"v{variant}", seed, returns)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.compare("s", "--out", "report", "--draws", "2000")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of the processor, as other programs run beside the tests.
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.assertLess(seconds, 5)
        data = (self.cwd / "report/index.html").read_text().split('id="data">')[1].split("</script>")[0]
        self.assertEqual(len(json.loads(data)["tasks"][0]["groups"][0]["by_steps"]["x"]), 100)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
