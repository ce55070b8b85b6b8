// Resumable uploads: the server's default settings, and its client on a page.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const tus = new Server({ path: "/files", datastore: new FileStore({ directory: "./files" }) });
const FILES = {
  "/": ["index.html", "text/html"],
  "/tus.js": ["node_modules/tus-js-client/dist/tus.js", "text/javascript"],
};
createServer(async (request, response) => {
  if (request.url.startsWith("/files")) return tus.handle(request, response);
  const [path, type] = FILES[request.url] ?? [];
  response.writeHead(path ? 200 : 404, { "Content-Type": type ?? "text/plain" });
  response.end(path ? await readFile(path) : "not here");
}).listen(Number(process.env.PORT), "127.0.0.1");
