// Opens the page of the admin listener in Chromium as its users do: light and dark, on a
// desk and on a phone. Fails if the browser reports an error, if the page loads anything
// from elsewhere, if it is wider than the screen, or if axe finds a barrier. Prints what
// it checked, and keeps the pictures.
//
// usage: node page.js GATEWAY CHROMIUM PICTURES

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createInterface } from "node:readline";

import puppeteer from "puppeteer-core";

const [gateway, chromium, pictures] = process.argv.slice(2);
const AXE = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const LIST =
  "/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections";

// Starts a gateway and returns it with the addresses that it logs.
async function start() {
  const flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const child = spawn(gateway, ["--log-format", "json", "serve", "--sandbox", ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    const event = JSON.parse(line);
    if (event.message === "the gateway listens") {
      child.stderr.resume();
      return { child, ...event };
    }
  }
  throw new Error("the gateway does not start");
}

// Makes an RPC that fails, so that the page has a failure to show.
function fail(client, id) {
  const stream = client.request({
    ":method": "POST",
    ":path": LIST,
    "content-type": "application/grpc",
    "x-request-id": id,
  });
  stream.end(Buffer.alloc(5));
  return new Promise((resolve, reject) => {
    stream.on("error", reject).on("close", resolve).resume();
  });
}

// Opens a page and returns what is wrong with it.
async function problems(browser, origin, { scheme, screen, width, script }) {
  const page = await browser.newPage();
  const found = [];
  page.on("console", (message) => found.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => found.push(`error: ${error}`));
  page.on("requestfailed", (request) => found.push(`not loaded: ${request.url()}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("data:")) {
      found.push(`foreign: ${request.url()}`);
    }
  });
  await page.setViewport({ width, height: 800, deviceScaleFactor: 1 });
  await page.setJavaScriptEnabled(script);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const response = await page.goto(`${origin}/`, { waitUntil: "networkidle0" });
  assert.equal(response.status(), 200);
  const path = `${pictures}/${scheme}-${screen}${script ? "" : "-without-script"}.png`;
  await page.screenshot({ path, fullPage: true });
  if (script) {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) found.push(`${wide} pixels wider than the screen`);
    await page.evaluate(AXE);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
    assert.ok(passes.length > 10, "axe has checked the page");
    for (const { id, help, nodes } of violations) {
      found.push(`axe: ${id}: ${help}: ${nodes[0].html}`);
    }
  }
  const rows = await page.$$("tbody tr");
  assert.ok(rows.length > 20, `${rows.length} rows`);
  await page.close();
  return found.map((problem) => `${path}: ${problem}`);
}

const { child, address, admin } = await start();
let browser;
try {
  browser = await puppeteer.launch({
    executablePath: chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const client = http2.connect(`http://${address}`);
  // As wide as a client may make it, and with what HTML has a meaning for.
  await fail(client, `"'&lt;b&gt;${"x".repeat(100)}`);
  await fail(client, "orders-17");
  client.close();
  const found = [];
  let views = 0;
  for (const scheme of ["light", "dark"]) {
    for (const [screen, width] of [["desk", 1280], ["phone", 360]]) {
      for (const script of [true, false]) {
        const view = { scheme, screen, width, script };
        found.push(...(await problems(browser, `http://${admin}`, view)));
        views += 1;
      }
    }
  }
  console.log(found.join("\n"));
  console.log(`problems in ${views} views: ${found.length}`);
  assert.equal(views, 8);
  process.exitCode = found.length > 0 ? 1 : 0;
} finally {
  await browser?.close();
  child.kill();
}
