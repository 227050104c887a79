// As one writes it for AWS Lambda: an answer, an error, an end of the process, streamed answers, and a start that fails.

import { setTimeout as sleep } from 'node:timers/promises';

if (process.env.FAIL_INIT) throw new RangeError('no table name');

const plain = async (event, context) => {
  switch (event.wish) {
    case 'error':
      throw new RangeError('nothing ordered');
    case 'panic':
      process.exit(3);
      break;
    case 'sleep':
      await sleep(60_000);
      break;
    case 'log':
      console.log('ordered', { of: 'tea' });
  }
  return {
    event,
    bounded: context.getRemainingTimeInMillis() > 0,
    id: context.awsRequestId.length > 0,
    arn: context.invokedFunctionArn.length > 0,
    memory: Number(context.memoryLimitInMB),
    handler: process.env._HANDLER,
    task: process.env.LAMBDA_TASK_ROOT,
  };
};

export const take = plain;

export const stream = awslambda.streamifyResponse(async (event, body, context) => {
  const answer = awslambda.HttpResponseStream.from(body, { statusCode: 202, headers: { 'Content-Type': 'text/plain' }, cookies: ['a=1'] });
  for (const piece of ['one;', 'two;', 'three']) {
    answer.write(piece);
    await sleep(event.rawPath === '/slow' ? 60_000 : 20);
    if (event.rawPath === '/broken') throw new RangeError('nothing left');
  }
  answer.end();
});
