import { createRoot } from "react-dom/client";
import { BrowserRouter, Link, Route, Routes } from "react-router";

import { Loaves } from "./Loaves.jsx";

createRoot(document.getElementById("root")).render(
  <BrowserRouter>
    <Routes>
      <Route path="/" element={<Loaves />} />
      <Route path="/orders/:id" element={<h1>An order</h1>} />
      <Route path="*" element={<h1>No such page</h1>} />
    </Routes>
    <Link to="/orders/7">Order 7</Link>
  </BrowserRouter>,
);
