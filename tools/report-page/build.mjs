// Bundles src/ and template.html into one file, the page that lra-report carries.
// Usage: node build.mjs [OUTPUT]   (default: harness/report/page/page.html)
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "../../harness/report/page/page.html");
const options = { bundle: true, minify: true, write: false, charset: "ascii", legalComments: "none", absWorkingDir: here };
const script = (await esbuild.build({ ...options, entryPoints: ["src/main.js"], format: "iife", target: "es2020" }))
  .outputFiles[0].text.trim();
const style = (await esbuild.build({ ...options, entryPoints: ["src/style.css"] })).outputFiles[0].text.trim();
if (/<\/script|LRA_DATA_HERE/i.test(script) || /<\/style/i.test(style)) throw new Error("the bundle would end its own element");

// Only this very script may run, whatever the data says.
const hash = createHash("sha256").update(script).digest("base64");
const page = readFileSync(join(here, "template.html"), "utf8")
  .replace("SCRIPT_HASH", () => `'sha256-${hash}'`)
  .replace("STYLE", () => style)
  .replace("SCRIPT", () => script);
writeFileSync(output, page);
console.log(`${output}: ${(page.length / 1024).toFixed(0)} KiB`);
