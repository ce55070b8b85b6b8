document.querySelector("p").textContent = "Baked: nothing";
document.querySelector("button").onclick = async () => {
  const loaves = await (await fetch("/loaves.json")).json();
  document.querySelector("ul").innerHTML = loaves.map((loaf) => `<li>${loaf}</li>`).join("");
};
