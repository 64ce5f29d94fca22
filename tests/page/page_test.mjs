// The dashboard in a real browser: none, one and 5,000 records, odd names, keyboard, phone, paper.
// Usage: node page_test.mjs LRA_REPORT CHROMIUM SOURCE_FOLDER WORK_FOLDER       (screenshots stay in WORK_FOLDER)
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

const [program, chromiumPath, source, work] = process.argv.slice(2);
const require = createRequire(join(source, "tools/report-page/package.json"));
const { chromium } = require("playwright-core");
const Ajv = require("ajv").default;
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const oddName = `q"uo'te</script><b id=injected>x</b> %_&<img src=x onerror=alert(1)> 🦊`;
const longName = "n".repeat(300);

// A valid record, with what a test changes.
function record({ variant, task, seed, accuracy, rate = 10, status = "ok", hash, metric = "accuracy" }) {
  const speed = (median) => ({ median, iqr: [median * 0.9, median * 1.1], n: 97 });
  return {
    schema: "lra.record/1", status, error: status === "ok" || status === "at_chance" ? null : { where: "training", code: status, message: "loss is nan" },
    variant, task, preset: "small", seed, spec_hash: hash.toString(16).padStart(16, "0"),
    spec: { variant, task, preset: "small", preset_version: 1, seed, variant_options: { features: 64 }, task_options: { max_length: 64 }, model: { layers: 2 }, train: { steps: 100, batch: 32 } },
    environment: {
      cpu: "Test CPU", isa: "AVX2", cores_available: 4, cores_used: 2, memory_bytes: 2 ** 30, kernel: "Linux", compiler: "GNU", flags: "-O3", build_type: "Release",
      real: "float", sanitizer: "", versions: { lra: "0.1.0" }, commit: null, dirty: null, load_at_start: 0.5, started: "2026-11-02T10:11:12Z",
    },
    model: { parameters: 68226, mixer_parameters: 33280, mean_tokens: 144, flops_per_token_forward: 1e5, flops_per_step: 1e9 },
    data: { source: "made up" },
    memory: { planned: { saved: 1000, total: 2097152 }, saved_per_sequence: 60000 * rate, arena_high_water: 1048576, peak_rss: 77185024 },
    quality: status !== "ok" && status !== "at_chance" ? null : {
      metric, test: accuracy, test_ci95: [accuracy - 0.02, accuracy + 0.02], test_loss: 0.7, test_examples: 2000, test_last_weights: accuracy, validation_best: accuracy,
      best_step: 75, train_at_end: accuracy, chance: 0.1, majority: 0.12, baselines: { majority: 0.12, "root operator": 0.36 },
    },
    speed: {
      threads: 2, train_steps_per_s: speed(rate), train_tokens_per_s: speed(rate * 4608), train_examples_per_s: speed(rate * 32), eval_examples_per_s: 900, mixer_share: 0.5,
      gflops: 30, peak_gflops: 120, share_of_peak: 0.25, resumed: 0, phases: { data_s: 0.1, train_s: 10, evaluation_s: 1, total_s: 11.5 },
    },
    curve: Array.from({ length: 21 }, (_, i) => ({
      step: i * 5, seconds: i * 0.5, train_loss: i ? 2 / i : null, validation_loss: 1, validation_quality: accuracy * (i / 20) * (1 - 0.02 * (seed % 3)), lr: 0.001, grad_norm: 1.5,
    })),
    hashes: { data: "d0" },
  };
}

function pageOf(name, records, extra = []) {
  const folder = join(work, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "runs"), { recursive: true });
  records.forEach((one, i) => writeFileSync(join(folder, "runs", `${i}.json`), JSON.stringify(one)));
  const page = join(folder, "d.html");
  execFileSync(program, ["dashboard", join(folder, "runs"), ...extra, "-q", "-o", page]);
  return { page, data: JSON.parse(readFileSync(join(folder, "d.json"), "utf8")) };
}

const few = () => [
  ...[0, 1, 2].flatMap((seed) => [
    record({ variant: "softmax", task: "listops", seed, accuracy: 0.55 + 0.01 * seed, hash: 1 }),
    record({ variant: "linear", task: "listops", seed, accuracy: 0.5, rate: 25, hash: 2 }),
    record({ variant: "softmax", task: "image", seed, accuracy: 0.8, rate: 4, hash: 3 }),
  ]),
  record({ variant: "local", task: "listops", seed: 0, accuracy: 0.1, status: "at_chance", hash: 4 }),
  record({ variant: "performer", task: "listops", seed: 0, accuracy: 0.1, status: "diverged", hash: 5 }),
  record({ variant: oddName, task: "listops", seed: 0, accuracy: 0.4, rate: 15, hash: 6 }),
  record({ variant: longName, task: "listops", seed: 0, accuracy: 0.3, rate: 6, hash: 7 }),
  record({ variant: "softmax", task: "text8", seed: 0, accuracy: 2.25, metric: "bits_per_token", hash: 8 }),
];

const bench = () => {
  const path = join(work, "bench.json");
  const runs = ["softmax", "linear"].flatMap((variant, v) => [256, 512, 1024, 2048].map((n) => ({
    name: `${variant}/step/${n}/manual_time`, run_type: "iteration", real_time: 1e-3 * n ** (2 - v), time_unit: "ms", planned: 1000 * n,
  })));
  writeFileSync(path, JSON.stringify({ context: {}, benchmarks: runs }));
  return path;
};

let browser;
before(async () => {
  mkdirSync(work, { recursive: true });
  browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
});
after(() => browser?.close());

// Opens a page and fails the test on any console error, exception or request beyond the file itself.
async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.faults.push(message.text()));
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("request", (request) => request.url() === `file://${path}` || request.url().startsWith("data:") || page.faults.push(`request ${request.url()}`));
  page.on("dialog", (dialog) => { page.faults.push("a dialog of the data"); dialog.dismiss(); });
  await page.goto(`file://${path}`);
  await page.waitForSelector("#tables tbody", { state: "attached" });
  return page;
}

async function accessible(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join("; ")}`));
  assert.deepEqual(found, []);
}

const drawn = (page, id) => page.locator(`#${id} svg path`).count();

test("the page that is shipped is the one that its sources build", () => {
  const built = join(work, "page.html");
  execFileSync(process.execPath, [join(source, "tools/report-page/build.mjs"), built]);
  assert.ok(readFileSync(built).equals(readFileSync(join(source, "harness/report/page/page.html"))), "run: make page");
});

test("an independent validator agrees with the schemas", () => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  const schema = (name) => ajv.compile(JSON.parse(readFileSync(join(source, `results/schema/${name}.schema.json`), "utf8")));
  const [isRecord, isDashboard] = [schema("record"), schema("dashboard")];
  for (const one of few()) assert.ok(isRecord(one), JSON.stringify(isRecord.errors));
  assert.ok(isDashboard(pageOf("ajv", few(), [bench()]).data), JSON.stringify(isDashboard.errors));
  assert.ok(!isRecord({ ...few()[0], seed: -1 }));
  assert.ok(!isRecord({ ...few()[0], quality: null }));
  const wrong = few()[0];
  wrong.quality.test = 1.5;
  assert.ok(!isRecord(wrong), "an accuracy above 1");
});

test("without records it says what to do", async () => {
  const page = await open(pageOf("none", []).page);
  assert.match(await page.textContent("#summary"), /No records yet/);
  assert.equal(await page.locator(".empty:visible").count(), 3);
  await accessible(page);
  await page.screenshot({ path: join(work, "none.png"), fullPage: true });
  assert.deepEqual(page.faults, []);
});

test("one record is drawn", async () => {
  const page = await open(pageOf("one", few().slice(0, 1)).page);
  assert.ok((await drawn(page, "bubble")) > 5);
  assert.ok((await drawn(page, "curves")) > 5);
  assert.equal(await page.locator("#tables tbody tr").count(), 1);
  assert.deepEqual(page.faults, []);
});

for (const theme of ["light", "dark"]) {
  test(`a few records in ${theme}: charts, table, details, odd names, accessible`, async () => {
    const page = await open(pageOf("few", few(), [bench()]).page, { colorScheme: theme });
    for (const chart of ["bubble", "curves", "cost"]) assert.ok((await drawn(page, chart)) > 5, chart);
    assert.equal(await page.locator("#injected").count(), 0);
    assert.equal(await page.locator(`#tables .open`, { hasText: oddName }).count(), 1);
    await accessible(page);
    await page.screenshot({ path: join(work, `few-${theme}.png`), fullPage: true });

    // Pixels of the chart: ink in the colour of softmax.
    const ink = theme === "light" ? "#0072b2" : "#5db4ec";
    assert.ok((await page.locator(`#curves svg path[stroke="${ink}" i], #curves svg path[stroke="rgb(${parseInt(ink.slice(1, 3), 16)},${parseInt(ink.slice(3, 5), 16)},${parseInt(ink.slice(5), 16)})"]`).count()) > 0);

    await page.locator("#tables .open").first().click();
    await page.waitForSelector("dialog[open] svg path", { state: "attached" });
    assert.match(await page.textContent("dialog"), /Environment/);
    await page.locator("dialog select").selectOption("2");
    assert.match(await page.textContent("dialog"), /57.0 %/);
    await accessible(page);
    await page.screenshot({ path: join(work, `detail-${theme}.png`) });
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog[open]").count(), 0);
    assert.deepEqual(page.faults, []);
  });
}

test("columns sort, the filter filters, the task chooses", async () => {
  const page = await open(pageOf("few", few()).page);
  const column = (n) => page.locator(`#tables tbody td:nth-child(${n})`).allTextContents();
  await page.getByRole("button", { name: "tokens/s" }).click();
  const speeds = (await column(6)).filter(Boolean).map((text) => parseFloat(text) * (text.endsWith("k") ? 1000 : 1));
  assert.deepEqual(speeds, [...speeds].sort((a, b) => b - a));
  assert.equal(await page.locator('#tables th[aria-sort="descending"]').count(), 1);
  await page.getByLabel("Filter").fill("linear listops");
  assert.deepEqual(await column(1), ["linear"]);
  await page.getByLabel("Filter").fill("");
  await page.locator("#tables select").selectOption("image");
  assert.deepEqual(await column(2), ["image"]);
  assert.deepEqual(page.faults, []);
});

test("a chart follows its choices and the legend", async () => {
  const page = await open(pageOf("few", few()).page);
  const before = await page.locator("#curves svg").innerHTML();
  await page.locator("#curves select").nth(1).selectOption("seconds");
  assert.notEqual(await page.locator("#curves svg").innerHTML(), before);
  await page.locator("#bubble select").first().selectOption("text8");
  assert.match(await page.locator("#bubble svg").innerHTML(), /bits per token/);
  await page.getByRole("button", { name: "softmax", exact: true }).first().click();
  assert.match(await page.textContent("#bubble .empty"), /No visible record/);
  assert.equal(await page.locator("#bubble .empty").isVisible(), true);
  assert.deepEqual(page.faults, []);
});

test("everything can be reached with the keyboard", async () => {
  const page = await open(pageOf("few", few()).page);
  const seen = new Set();
  for (let i = 0; i < 80; ++i) {
    await page.keyboard.press("Tab");
    const name = await page.evaluate(() => `${document.activeElement?.tagName} ${document.activeElement?.textContent?.trim().slice(0, 20)}`);
    seen.add(name);
    if (name === "BUTTON linear" && (await page.evaluate(() => document.activeElement.classList.contains("open")))) break;
  }
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("dialog[open]").count(), 1, [...seen].join(", "));
  assert.match(await page.textContent("#detail-title"), /linear on listops/);
});

test("the theme changes and stays readable", async () => {
  const page = await open(pageOf("few", few()).page, { colorScheme: "light" });
  await page.getByRole("button", { name: /dark theme/ }).click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await accessible(page);
  assert.deepEqual(page.faults, []);
});

test("a phone needs no sideways scrolling", async () => {
  const page = await open(pageOf("few", few(), [bench()]).page, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1));
  await page.screenshot({ path: join(work, "phone.png"), fullPage: true });
  assert.deepEqual(page.faults, []);
});

test("it prints", async () => {
  const page = await open(pageOf("few", few(), [bench()]).page);
  await page.pdf({ path: join(work, "print.pdf"), format: "A4" });
  assert.ok(statSync(join(work, "print.pdf")).size > 10000);
});

test("5,000 records open within seconds", async () => {
  const tasks = ["listops", "image", "pathfinder", "text"];
  const records = Array.from({ length: 5000 }, (_, i) => {
    const cell = Math.floor(i / 5);
    return record({ variant: `variant_${cell % 25}`, task: tasks[cell % 4], seed: i % 5, accuracy: 0.3 + 0.5 * ((cell * 7919) % 100) / 100, rate: 5 + (cell % 40), hash: 1000 + cell });
  });
  const { page: path, data } = pageOf("many", records);
  assert.equal(data.records.length, 5000);
  const start = Date.now();
  const page = await open(path);
  assert.ok(Date.now() - start < 30000, `${Date.now() - start} ms`);
  assert.equal(await page.locator("#tables tbody tr").count(), 200);
  await page.getByRole("button", { name: "Show more rows" }).click();
  assert.equal(await page.locator("#tables tbody tr").count(), 800);
  await page.getByLabel("Filter").fill("variant_7 image");
  assert.ok((await page.locator("#tables tbody tr").count()) > 0);
  await page.screenshot({ path: join(work, "many.png"), fullPage: false });
  assert.deepEqual(page.faults, []);
});
