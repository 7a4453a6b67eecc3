// What the files of the string library share.
//
// Owns: nothing. Called by: strings.c, which puts the functions into the table. Never: seen outside of CLua.
#ifndef CLUA_STRINGS_H
#define CLUA_STRINGS_H

#include <lua5.4/lua.h>

int clua_string_find(lua_State *L);
int clua_string_match(lua_State *L);
int clua_string_gmatch(lua_State *L);
int clua_string_gsub(lua_State *L);
int clua_string_format(lua_State *L);

#endif
