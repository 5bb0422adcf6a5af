// Rounds of requests to a server of its own, of a child process, and of a directory made by a thread.
const fs = require("node:fs/promises");
const http = require("node:http");
const { execFile } = require("node:child_process");
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

function ask(port) {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, agent }, async (response) => {
      let text = "";
      for await (const part of response) text += part;
      resolve(text === "hello\n" ? 1 : 0);
    });
    request.on("error", () => resolve(0));
  });
}

async function made() {
  try {
    await fs.mkdir("/tmp/made");
    await fs.rmdir("/tmp/made");
    return "made";
  } catch (error) {
    return `errno ${-error.errno}`;
  }
}

async function rounds(port) {
  for (;;) {
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(port)));
    const child = await new Promise((resolve) => execFile("true", (error) => resolve(error || "child")));
    console.log(answers.reduce((sum, one) => sum + one), child, await made());
  }
}

const server = http.createServer((_, response) => response.end("hello\n"));
server.keepAliveTimeout = 0; // else it ends connections while a busy machine starts the child
server.listen(0, "127.0.0.1", () => rounds(server.address().port));
