/* The ten most frequent words of standard input: most frequent first, then by alphabet. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char word[64];
  int count;
};

static struct entry entries[4096];
static int used;

static void count(const char *word) {
  for (int i = 0; i < used; i++) {
    if (strcmp(entries[i].word, word) == 0) {
      entries[i].count++;
      return;
    }
  }
  if (used == 4096) exit(2);
  strcpy(entries[used].word, word);
  entries[used++].count = 1;
}

static int by_count(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  return x->count != y->count ? y->count - x->count : strcmp(x->word, y->word);
}

int main(void) {
  char word[64];
  int length = 0, c;
  do {
    c = getchar();
    if (c != EOF && c < 128 && isalpha(c)) {
      if (length < 63) word[length++] = (char)tolower(c);
    } else if (length > 0) {
      word[length] = '\0';
      count(word);
      length = 0;
    }
  } while (c != EOF);
  qsort(entries, used, sizeof *entries, by_count);
  for (int i = 0; i < used && i < 10; i++) printf("%d %s\n", entries[i].count, entries[i].word);
  return 0;
}
