// Compiles every contract of this folder into artefacts/<name>.json.
//
//   node build.mjs           writes the artefacts
//   node build.mjs --check   compiles again and fails where an artefact differs
//
// The compiler is pinned by package-lock.json and leaves no metadata in the code, so the same
// sources give the same bytes everywhere.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sha3 from "js-sha3";
import solc from "solc";

const folder = dirname(fileURLToPath(import.meta.url));
const artefacts = join(folder, "artefacts");
const settings = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 10000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: {
    "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"] },
  },
};

const files = readdirSync(folder).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(
  files.map((name) => [name, { content: readFileSync(join(folder, name), "utf8") }]),
);

const input = { language: "Solidity", sources, settings };
const output = JSON.parse(solc.compile(JSON.stringify(input)));
// Warnings fail too, but for the one that selfdestruct is deprecated: here it is the subject.
const DEPRECATED_SELFDESTRUCT = "5159";
const faults = (output.errors ?? []).filter((fault) => fault.errorCode !== DEPRECATED_SELFDESTRUCT);
for (const { formattedMessage } of faults) console.error(formattedMessage);
if (faults.length > 0) process.exit(1);

const check = process.argv.includes("--check");
let differs = false;
if (!check) mkdirSync(artefacts, { recursive: true });
for (const file of files) {
  const name = file.slice(0, -".sol".length);
  const { evm } = output.contracts[file][name];
  const artefact = {
    contract: name,
    compiler: solc.version(),
    evmVersion: settings.evmVersion,
    sourceKeccak256: `0x${sha3.keccak256(sources[file].content)}`,
    selectors: evm.methodIdentifiers,
    creation: `0x${evm.bytecode.object}`,
    runtime: `0x${evm.deployedBytecode.object}`,
  };
  const path = join(artefacts, `${name}.json`);
  const text = `${JSON.stringify(artefact, null, 2)}\n`;
  if (!check) {
    writeFileSync(path, text);
  } else if (!existsSync(path) || readFileSync(path, "utf8") !== text) {
    console.error(`${path}: differs from what ${file} compiles to; run node build.mjs`);
    differs = true;
  }
}
process.exit(differs ? 1 : 0);
