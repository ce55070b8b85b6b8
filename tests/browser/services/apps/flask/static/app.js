document.getElementById("count").onclick = async () => {
  const answer = await fetch("/api/count", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: document.querySelector("input").value }),
  });
  const { words, user } = await answer.json();
  document.getElementById("words").textContent = `${words} words, ${user ?? "nobody"}`;
};
const events = new EventSource("/events");
events.onmessage = event => { document.getElementById("numbers").append(event.data, " "); };
events.addEventListener("over", () => events.close());
