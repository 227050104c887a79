// Made at build time, with a part that the browser runs: its script is a static asset.
import Counter from './counter.js';

export default function Page() {
  return <Counter />;
}
