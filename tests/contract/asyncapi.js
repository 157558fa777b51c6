// Validates an AsyncAPI document with the official parser: node asyncapi.js FILE
// Prints what is wrong and ends with 1, or prints the parsed document as JSON.
const { Parser, fromFile } = require("@asyncapi/parser");
const { ProtoBuffSchemaParser } = require("@asyncapi/protobuf-schema-parser");

async function main(path) {
  const parser = new Parser();
  parser.registerSchemaParser(ProtoBuffSchemaParser());
  const { document, diagnostics } = await fromFile(parser, path).parse();
  for (const { severity, code, message, path: place } of diagnostics) {
    const name = ["error", "warning", "information", "hint"][severity];
    console.error(`${name}: ${place.join(".")}: ${message} (${code})`);
  }
  if (!document || diagnostics.some(({ severity }) => severity <= 1)) process.exit(1);
  console.log(JSON.stringify(document.json()));
}

main(process.argv[2]);
