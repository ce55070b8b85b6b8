import { Link, Outlet, Scripts } from "react-router";

export default function App() {
  return (
    <html lang="en">
      <head>
        <title>Bakery</title>
        <link rel="icon" href="data:," />
      </head>
      <body>
        <Outlet />
        <Link to="/orders/7">Order 7</Link>
        <Scripts />
      </body>
    </html>
  );
}

export const ErrorBoundary = () => <h1>No such page</h1>;
