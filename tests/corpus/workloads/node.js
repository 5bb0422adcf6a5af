// An HTTP server whose answers come from worker threads; a child process; a file.
const { Worker, isMainThread, parentPort } = require("node:worker_threads");
const http = require("node:http");

function answer(_, response) {
  const worker = new Worker(__filename);
  worker.on("message", (message) => response.end(`worker ${message}\n`));
}

function ask() {
  http.get({ host: "127.0.0.1", port: this.address().port }, (response) => {
    response.pipe(process.stdout, { end: false });
    response.on("end", () => finish(this));
  });
}

function finish(server) {
  require("node:fs").writeFileSync("/tmp/file", "text");
  require("node:child_process").execFile("true", () => server.close(() => console.log("ended")));
}

if (isMainThread) http.createServer(answer).listen(0, "127.0.0.1", ask);
else parentPort.postMessage(40 + 2);
