export const loader = ({ params }) => ({ title: params.id === "7" ? "An order" : "No order" });

export default function Order({ loaderData }) {
  return <h1>{loaderData.title}</h1>;
}
