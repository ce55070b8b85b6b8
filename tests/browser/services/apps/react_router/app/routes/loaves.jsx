import { useState } from "react";

export default function Loaves() {
  const [loaves, setLoaves] = useState([]);
  const load = () => fetch("/api/loaves").then((answer) => answer.json()).then(setLoaves);
  return (
    <>
      <h1>Bakery</h1>
      <p>Baked: nothing</p>
      <button onClick={load}>Load</button>
      {loaves.map((loaf) => <li key={loaf}>{loaf}</li>)}
    </>
  );
}
