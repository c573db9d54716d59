/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* Is the file behind fd (opened for reading) open for writing, in whatever process? False also where the
 * kernel does not tell: the file belongs to another user, or the file system has no leases. errno is kept.
 * Any thread. */
bool mqlua_writer_has(int fd);
