/* SPDX-License-Identifier: MIT */

#include "vm/blocks.h"
#include <stdlib.h>

void mqlua_blocks_free(mqlua_blocks *blocks)
{
    for (int i = 0; i < MQLUA_BLOCK_CLASSES; i++) {
        while (blocks->first[i]) {
            mqlua_block *block = blocks->first[i];
            blocks->first[i] = block->next;
            free(block);
        }
    }
    blocks->kept = 0;
}
