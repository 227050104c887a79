// Made by the build, and anew for who asks more than a second later.
export const revalidate = 1;

export default function Page() {
  return <p data-made={Date.now()}>News</p>;
}
