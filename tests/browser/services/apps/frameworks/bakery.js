// The list by an API, and what the service says by a WebSocket, or by events where it has none.
fetch("/api/loaves").then(answer => answer.json()).then(names => {
  document.getElementById("loaves").replaceChildren(...names.map(name => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  }));
});

const live = document.getElementById("live");

fetch("/api/live").then(answer => answer.text()).then(way => {
  if (way === "socket") {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
    socket.onopen = () => socket.send("hello");
    socket.onmessage = event => { live.textContent = `told: ${event.data}`; };
  } else {
    new EventSource("/events").onmessage = event => { live.textContent = `told: ${event.data}`; };
  }
});
