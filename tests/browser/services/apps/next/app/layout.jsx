import Link from "next/link";

export const metadata = { title: "Bakery", icons: "data:," };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>
        {children}
        <Link href="/orders/7">Order 7</Link>
      </body>
    </html>
  );
}
