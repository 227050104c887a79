export interface Item {
  title: string;
  count: number;
}

export function isItem(value: unknown): value is Item {
  const item = value as Item | null;
  return typeof item?.title === 'string' && Number.isInteger(item.count) && item.count > 0;
}

const cents: Readonly<Record<string, number>> = { tea: 250, coffee: 310 };

/** Of all of them together, in cents. */
export function priceOf(item: Item): number {
  const each = cents[item.title];
  if (each === undefined) throw new RangeError(`no price for ${item.title}`);
  return item.count * each;
}
