# Writes the modules under lua/mq (not the editor types in _meta) as one C file.
# cmake -DFOLDER=.../lua -DOUTPUT=library.c -P embed.cmake
file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/mq/*.lua)
list(FILTER files EXCLUDE REGEX "/_meta/")
list(SORT files)
set(arrays "")
set(entries "")
foreach(file ${files})
  file(READ ${FOLDER}/${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "\\.lua$" "" name ${file})
  string(REPLACE "/" "_" symbol ${name})
  string(REPLACE "/" "." name ${name})
  string(REGEX REPLACE "\\.init$" "" name ${name})
  string(APPEND arrays "static const unsigned char ${symbol}[] = {${bytes}0};\n")
  string(APPEND entries "    {\"${name}\", (const char *)${symbol}, sizeof ${symbol} - 1},\n")
endforeach()
file(WRITE ${OUTPUT} "/* Made from lua/mq by cmake/embed.cmake. */\n#include \"policy/load.h\"\n\n${arrays}\n"
     "const mqlua_embedded mqlua_library[] = {\n${entries}    {0, 0, 0},\n};\n")
