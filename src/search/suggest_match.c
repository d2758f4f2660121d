/*
 * suggest_match.c
 *		Whether a text goes on from a prefix: the same for both engines.
 *
 * Every word of the prefix must be a word of the text; of the last one, if nothing is typed
 * after it, its beginning is enough.  Words are what is between ASCII characters that are
 * neither letter nor digit.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "search/suggest.h"

/* Text in small letters. */
static char *
lower(const char *text)
{
	return str_tolower(text, strlen(text), DEFAULT_COLLATION_OID);
}

/* True for a byte of a word. */
static bool
in_word(char c)
{
	return IS_HIGHBIT_SET(c) || isalnum((unsigned char) c);
}

/* The next word from p on, and its length; NULL: there is none. */
static const char *
next_word(const char *p, int *length)
{
	while (*p != '\0' && !in_word(*p))
		p++;
	for (*length = 0; in_word(p[*length]); (*length)++)
		;
	return *length > 0 ? p : NULL;
}

/* Splits a prefix into words; one that is longer than what is suggested leaves no hope. */
void
suggest_split(Suggest *suggest, const char *prefix)
{
	const char *p;
	int			length;

	suggest->prefix = lower(prefix + strspn(prefix, " \t\r\n"));
	suggest->open =
		*suggest->prefix != '\0' && in_word(suggest->prefix[strlen(suggest->prefix) - 1]);
	p = suggest->prefix;
	while (suggest->nwords < SUGGEST_WORDS_MAX && (p = next_word(p, &length)) != NULL)
	{
		suggest->words[suggest->nwords++] = pnstrdup(p, length);
		p += length;
		suggest->hopeless |= length > SUGGEST_TEXT_MAX * MAX_MULTIBYTE_CHAR_LEN;
	}
}

/* True if the text has a word, or one that begins with it. */
static bool
has_word(const char *text, const char *word, bool beginning)
{
	int			wanted = strlen(word);
	const char *p = text;
	int			length;

	while ((p = next_word(p, &length)) != NULL)
	{
		if ((length == wanted || (beginning && length > wanted)) && memcmp(p, word, wanted) == 0)
			return true;
		p += length;
	}
	return false;
}

/* True if the text goes on from the prefix; begins: it does so from its first letter on. */
bool
suggest_matches(const Suggest *suggest, const char *text, bool whole, bool *begins)
{
	char *small = lower(text);

	*begins = strncmp(small, suggest->prefix, strlen(suggest->prefix)) == 0;
	if (whole || *begins)
		return *begins;
	for (int i = 0; i < suggest->nwords; i++)
		if (!has_word(small, suggest->words[i], suggest->open && i == suggest->nwords - 1))
			return false;
	return suggest->nwords > 0;
}
