// GraphQL over a WebSocket, and a page with graphql-ws as a module.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  type Query { loaf: String }
  type Subscription { count: Int }
`);
const roots = {
  query: { loaf: () => "rye" },
  subscription: {
    async *count() {
      for (let count = 1; count <= 3; count++) yield { count };
    },
  },
};
const FILES = {
  "/": ["index.html", "text/html"],
  "/graphql-ws.js": ["node_modules/graphql-ws/umd/graphql-ws.js", "text/javascript"],
};
const server = createServer(async (request, response) => {
  const [path, type] = FILES[request.url] ?? [];
  response.writeHead(path ? 200 : 404, { "Content-Type": type ?? "text/plain" });
  response.end(path ? await readFile(path) : "not here");
});
useServer({ schema, roots }, new WebSocketServer({ server, path: "/graphql" }));
server.listen(Number(process.env.PORT), "127.0.0.1");
