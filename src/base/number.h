/* SPDX-License-Identifier: MIT */
#pragma once

/* Numbers as text. */

/* The shortest decimal text that reads back as the same number, at most 31 characters. Finite numbers only.
 */
void mqlua_number_format(double number, char text[32]);
