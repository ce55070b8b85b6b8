// As little of Socket.IO's client as says something by either transport: like that one it begins
// by polling, and moves to a WebSocket while a poll is under way (Engine.IO protocol 4).
const place = "/socket.io/?EIO=4&transport=";

async function poll(session) {
  const answer = await fetch(`${place}polling${session}`);
  return (await answer.text()).split("\x1e");
}

async function post(session, packet) {
  const headers = { "Content-Type": "text/plain;charset=UTF-8" };
  const answer = await fetch(`${place}polling${session}`, { method: "POST", headers, body: packet });
  if (!answer.ok) throw new Error(`not taken: ${packet}`);
}

// The next packet of this kind; a ping that comes before is answered.
async function next(session, kind) {
  for (;;) {
    for (const packet of await poll(session)) {
      if (packet.startsWith(kind)) return packet;
      if (packet === "2") await post(session, "3");
    }
  }
}

function show(transport, packet) {
  const [event, text] = JSON.parse(packet.slice(2));
  document.getElementById(transport).textContent = `${event} ${text}`;
}

async function talk() {
  const [opened] = await poll("");
  const session = `&sid=${JSON.parse(opened.slice(1)).sid}`;
  await post(session, "40");
  await next(session, "40");
  await post(session, '42["say","hello"]');
  show("polling", await next(session, "42"));

  const polled = poll(session);
  const socket = new WebSocket(
    `${location.origin.replace("http", "ws")}${place}websocket${session}`
  );
  socket.onopen = () => socket.send("2probe");
  socket.onmessage = async ({ data }) => {
    if (data === "3probe") {
      await polled; // which the server ends by a packet that says nothing
      socket.send("5");
      socket.send('42["say","hello again"]');
    } else if (data === "2") {
      socket.send("3");
    } else if (data.startsWith("42")) {
      show("websocket", data);
    }
  };
}

talk();
