// A session, forms with a CSRF token, and socket.io, all at root-absolute paths.
import { createServer } from "node:http";
import express from "express";
import session from "express-session";
import lusca from "lusca";
import { Server } from "socket.io";

const app = express();
const server = createServer(app);
app.use(express.urlencoded({ extended: false }), express.json());
app.use(session({ secret: "of the bakery", resave: false, saveUninitialized: true }));
app.use(lusca.csrf());
app.use(express.static("public"));

const page = (body) => `<!doctype html><title>Bakery</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css"><h1>Bakery</h1>${body}`;

app.get("/", (request, response) => {
  const notes = (request.session.notes ?? []).map((note) => `<li>${note}</li>`).join("");
  response.send(page(`<form method="post" action="/notes"><input name="_csrf" type="hidden"
value="${response.locals._csrf}"><input name="note" aria-label="Note"><button>Add</button></form>
<ul>${notes}</ul><button id="shout" disabled>Shout</button><p id="heard"></p><a href="/orders">Orders</a>
<script src="/socket.io/socket.io.js"></script><script src="/chat.js"></script>`));
});
app.post("/notes", (request, response) => {
  request.session.notes = [...(request.session.notes ?? []), request.body.note];
  response.redirect("/");
});
app.get("/orders", (request, response) => response.send(page("<h2>All orders</h2>")));

new Server(server).on("connection", (socket) => {
  socket.on("shout", (text, done) => done(text.toUpperCase()));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
