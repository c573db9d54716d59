/* SPDX-License-Identifier: MIT */

#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* There is no printf that takes a locale: what it writes for the decimal point is the only thing that is none
 * of the others' characters. */
static void plain_point(char *text)
{
    static const char others[] = "0123456789+-einfa";
    char *point = text + strspn(text, others);
    if (!*point)
        return;
    size_t size = strcspn(point, others);
    memmove(point + 1, point + size, strlen(point + size) + 1);
    *point = '.';
}

void mqlua_number_format(double number, char text[32])
{
    if (number == 0) { /* only -0 comes here, which "-0" would not say to readers that see an integer in it */
        strcpy(text, signbit(number) ? "-0.0" : "0");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, number);
        plain_point(text);
        if (mqlua_number_parse(text, NULL) == number)
            break;
    }
}

locale_t mqlua_number_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

double mqlua_number_parse(const char *text, char **end)
{
    return strtod_l(text, end, mqlua_number_locale());
}
