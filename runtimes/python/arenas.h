// Where Python's small objects live: its 1 MB arenas side by side in large regions that begin on a huge page, instead
// of wherever mmap puts each, so that the launcher's collapse finds whole huge pages and a fork copies few page tables.
// Called once, when the extension is loaded, before anything of a user is imported.
#pragma once

// From now on Python takes its arenas from such regions; those it has stay where they are. Cost: nothing until they are
// touched.
void ebb_arenas_together(void);
