import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';

import { isItem, priceOf } from './price.js';

export async function handler(event: APIGatewayProxyEventV2, context: Context): Promise<APIGatewayProxyStructuredResultV2> {
  const item: unknown = JSON.parse(event.body ?? 'null');
  if (!isItem(item)) return { statusCode: 400, body: '{"error":"a title and a count are wanted"}' };
  console.log(`asked for ${item.count} of ${item.title}`);
  const answer = { price: priceOf(item), by: context.functionName };
  return { statusCode: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(answer) };
}
