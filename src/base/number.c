/* SPDX-License-Identifier: MIT */

#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mqlua_number_format(double number, char text[32])
{
    if (number == 0) { /* only -0 comes here, which "-0" would not say to readers that see an integer in it */
        strcpy(text, signbit(number) ? "-0.0" : "0");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    char *point = strchr(text, ','); /* some locales */
    if (point)
        *point = '.';
}
