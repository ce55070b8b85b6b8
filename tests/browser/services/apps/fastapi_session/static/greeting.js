const scheme = location.protocol === "https:" ? "wss" : "ws";
const socket = new WebSocket(`${scheme}://${location.host}/ws`);
socket.onopen = () => socket.send("hello");
socket.onmessage = event => { document.getElementById("greeting").textContent = event.data; };
