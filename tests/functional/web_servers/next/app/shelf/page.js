// Rendered anew for every request.
import { headers } from 'next/headers';

import { born } from '../born.js';

export const dynamic = 'force-dynamic';

export default async function Page({ searchParams }) {
  const { of } = await searchParams;
  const prefix = (await headers()).get('x-forwarded-prefix');
  console.log(`asked for ${of}`);
  return (
    <main data-born={born} data-prefix={prefix}>
      Books of {of}
    </main>
  );
}
