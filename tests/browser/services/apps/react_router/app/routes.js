import { index, route } from "@react-router/dev/routes";

export default [
  index("routes/loaves.jsx"),
  route("orders/:id", "routes/order.jsx"),
  route("api/loaves", "routes/api.js"),
];
