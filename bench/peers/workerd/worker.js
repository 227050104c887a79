// The same two functions as functions/hello.py and functions/burn.py.
import { createHash } from "node:crypto";

const block = new Uint8Array(1 << 20);

function burn(rounds) {
  const digest = createHash("sha256");
  for (let round = 0; round < rounds; ++round) digest.update(block);
  return { digest: digest.digest("hex") };
}

export default {
  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/burn") return Response.json(burn(Number(url.searchParams.get("rounds"))));
    return Response.json({ message: "hello, world" });
  },
};
