// Types and enumerations that the compiler takes away or turns into code: lines differ from those of the JavaScript.
export interface Item {
  title: string;
  count: number;
}

enum Cents {
  Each = 250,
}

export function priceOf(item: Item): number {
  if (item.title === 'unknown') {
    throw new RangeError(`no price for ${item.title}`);
  }
  return item.count * Cents.Each;
}
