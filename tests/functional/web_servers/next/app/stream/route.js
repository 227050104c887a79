// The last piece comes when the client asks for it at the same address by POST: so the first must have arrived long before.
const waiting = (globalThis.waiting ??= []);

export const dynamic = 'force-dynamic';

export async function GET() {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode('data: first\n\n'));
      await new Promise((resolve) => waiting.push(resolve));
      controller.enqueue(encoder.encode('data: last\n\n'));
      controller.close();
    },
  });
  return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
}

export async function POST() {
  waiting.splice(0).forEach((resolve) => resolve());
  return new Response(null, { status: 204 });
}
