import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { z } from 'zod';

import { priceOf, type Item } from './price.js';

const Order = z.object({ title: z.string().min(1), count: z.number().int().positive() });

export async function handler(event: APIGatewayProxyEventV2, context: Context): Promise<APIGatewayProxyStructuredResultV2> {
  const read = Order.safeParse(JSON.parse(event.body ?? 'null'));
  if (!read.success) {
    return { statusCode: 400, body: JSON.stringify(read.error.issues.map((issue) => issue.path.join('.'))) };
  }
  const item: Item = read.data;
  const answer = { price: priceOf(item), of: context.functionName };
  return { statusCode: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(answer) };
}
