import { born } from '../../born.js';

export async function POST(request) {
  const book = await request.json();
  return Response.json({ ...book, born }, { status: 201 });
}
