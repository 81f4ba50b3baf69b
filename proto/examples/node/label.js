// Lists the open questions of an app and answers the first one, with nothing of Ease.ML but its contract.
//
//   npm ci
//   node label.js 127.0.0.1:50151 churn            # list
//   node label.js 127.0.0.1:50151 churn ada yes    # answer the first one as ada: yes
//
// The environment says how to get in, by the names that Ease.ML's own tools know: EASEML_TOKEN, and for TLS
// EASEML_TLS_CA (whom to trust) and EASEML_TLS_CERTIFICATE and EASEML_TLS_KEY (what to show where callers are asked).
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const CONTRACT = fileURLToPath(new URL("../../easeml/labels/v1/labels.proto", import.meta.url));
const SERVICE = "easeml.labels.v1.LabelService";
// Safe, because every submission carries a request_id: sent twice, it counts once.
const RETRY = {
  methodConfig: [{
    name: [{ service: SERVICE }],
    retryPolicy: {
      maxAttempts: 4,
      initialBackoff: "0.1s",
      maxBackoff: "1s",
      backoffMultiplier: 2,
      retryableStatusCodes: ["UNAVAILABLE"],
    },
  }],
};

function credentials() {
  const { EASEML_TLS_CA: authority, EASEML_TLS_CERTIFICATE: certificate, EASEML_TLS_KEY: key } = process.env;
  if (!authority) return grpc.credentials.createInsecure();
  const [mine, secret] = [certificate, key].map((file) => (file ? readFileSync(file) : null));
  return grpc.credentials.createSsl(readFileSync(authority), secret, mine);
}

function connect(target) {
  const contract = grpc.loadPackageDefinition(loadSync(CONTRACT, { keepCase: true, enums: String, defaults: true }));
  const client = new contract.easeml.labels.v1.LabelService(target, credentials(), {
    "grpc.service_config": JSON.stringify(RETRY),
  });
  const metadata = new grpc.Metadata();
  if (process.env.EASEML_TOKEN) metadata.set("authorization", `Bearer ${process.env.EASEML_TOKEN}`);
  const call = (method) => (request) =>
    promisify(client[method]).call(client, request, metadata, { deadline: Date.now() + 10_000 });
  return { list: call("ListQuestions"), answer: call("SubmitAnswer"), close: () => client.close() };
}

async function main([target, app, annotator, label]) {
  if (!target || !app || (annotator && !label)) throw new Error("Usage: node label.js HOST:PORT APP [NAME ANSWER]");
  const service = connect(target);
  try {
    const { questions } = await service.list({ app, annotator, page_size: 20 });
    for (const one of questions) {
      const choices = one.candidates.map((candidate) => candidate.text).join(" | ");
      console.log(`${one.question}: row ${one.row_id}: ${choices} (${one.information_gain.toFixed(2)} bits)`);
    }
    if (!annotator || !questions.length) return;
    const [{ question }] = questions;
    const said = await service.answer({ app, question, annotator, label, request_id: randomUUID() });
    console.log(`answered ${question}: ${label} (${said.annotation_id})`);
  } finally {
    service.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.details ?? error.message); // details: what was wrong, and how to mend it
  process.exitCode = 1;
});
