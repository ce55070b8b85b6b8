const socket = io();
document.querySelector("#shout").onclick = () =>
  socket.emit("shout", "hello", (heard) => (document.querySelector("#heard").textContent = heard));
document.querySelector("#shout").disabled = false;
