"""Which texts look alike: ``skeleton`` maps them to the same text. Similar to UTS #39 (section 4).

The table is short: letters of other scripts that look like Latin ones, and digits that are used for letters. Marks on
letters, upper and lower case, spaces and invisible characters make no difference. Korean syllables are compared by
their letters, so that loose letters look like the syllables that they would form.
"""

import unicodedata

# Each Latin letter with what looks like it, after case folding and without marks.
_ALIKE = {
    "a": "аαɑａ4@",
    "b": "вьƅʙᖯ8",
    "c": "сςϲᴄ",
    "d": "ԁɗժ",
    "e": "еєҽεℯ3",
    "f": "ƒϝքғ",
    "g": "ɡցԍ9",
    "h": "һհнʜ",
    "j": "јϳ",
    "k": "кκқҡᴋ",
    "l": "iіιıӏ1|!ļɩɪ⏐ǀﺍ",
    "n": "пηոռɴ",
    "o": "оοօσ0øөⲟס",
    "p": "рρϸᴘ",
    "q": "ԛգզ",
    "r": "гᴦʀɾ",
    "s": "ѕꜱƽ5$",
    "t": "тτᴛŧ7",
    "u": "υսцʋᴜ",
    "v": "ѵνᴠ",
    "w": "ѡԝωաᴡ",
    "x": "хχ×",
    "y": "уүγყʏ",
    "z": "ᴢȥʐ2",
    "m": "мᴍ",
}
_TABLE = {ord(other): letter for letter, others in _ALIKE.items() for other in others}
#: Marks that are put on letters of Latin, Greek and Cyrillic, and marks for emoji.
_ACCENTS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F))
_PAIRS = (("rn", "m"), ("vv", "w"))
#: Letters of Korean syllables: the initial (U+1100) and the final (U+11A8) forms of the same letter.
_FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TABLE |= {0x1100 + at: letter for at, letter in enumerate(_INITIALS)}
_TABLE |= {0x1161 + at: letter for at, letter in enumerate(_VOWELS)}
_TABLE |= {0x11A8 + at: letter for at, letter in enumerate(_FINALS)}


def skeleton(text: str) -> str:
    """Return a text that is the same for all texts that look like ``text``; only for comparing, not for showing."""
    # Some letters lose their look in the normal form, so the table is used before it, too.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.translate(_TABLE)).casefold())
    kept = "".join(filter(_counts, plain.translate(_TABLE)))
    for pair, letter in _PAIRS:
        kept = kept.replace(pair, letter)
    return kept


def _counts(char: str) -> bool:
    """Return whether a character makes a difference: letters, digits, and vowel signs such as those of Thai."""
    kind = unicodedata.category(char)[0]
    return kind in "LN" or (kind == "M" and not any(first <= ord(char) <= last for first, last in _ACCENTS))


def words(text: str) -> list[str]:
    """Return the skeletons of the words of ``text``, without empty ones."""
    spaced = "".join(
        char if unicodedata.category(char)[0] in "LNM" or char in "@|!$" else " "
        for char in unicodedata.normalize("NFKC", text)
    )
    return [found for word in spaced.split() if (found := skeleton(word))]
