import { baked } from "./baked.js";

document.querySelector("#baked").textContent = baked;
document.querySelector("button").onclick = async () => {
  const loaves = await (await fetch("/loaves.json")).json();
  document.querySelector("ul").innerHTML = loaves.map((loaf) => `<li>${loaf}</li>`).join("");
};
