"""Generates customers and courses, Korean and English. The same seed and id give the same row, in any order."""

from collections.abc import Iterable, Iterator

_M64 = (1 << 64) - 1

# The most common family names are repeated, so that they are drawn about as often as they occur in Korea.
_KO_FAMILY = (
    "김 kim,김 kim,김 kim,김 kim,이 lee,이 lee,이 lee,박 park,박 park,최 choi,정 jung,강 kang,조 cho,윤 yoon,"
    "장 jang,임 lim,한 han,오 oh,서 seo,신 shin,권 kwon,황 hwang,안 ahn,송 song,류 ryu,전 jeon,홍 hong,고 ko,"
    "문 moon,양 yang,손 son,배 bae,백 baek,허 heo,유 yoo,남 nam,심 shim,노 noh,하 ha,곽 kwak"
)
_KO_GIVEN = (
    "민준 minjun,서준 seojun,도윤 doyun,예준 yejun,시우 siwoo,하준 hajun,지호 jiho,주원 juwon,지후 jihoo,"
    "준우 junwoo,도현 dohyun,건우 gunwoo,우진 woojin,선우 sunwoo,서진 seojin,민재 minjae,현우 hyunwoo,"
    "연우 yeonwoo,유준 yujun,정우 jungwoo,승우 seungwoo,시윤 siyun,준혁 junhyuk,은우 eunwoo,지환 jihwan,"
    "서연 seoyeon,서윤 seoyun,지우 jiwoo,서현 seohyun,하은 haeun,하윤 hayun,민서 minseo,지유 jiyu,윤서 yunseo,"
    "채원 chaewon,수아 sua,지아 jia,지민 jimin,서아 seoa,다은 daeun,예은 yeeun,수빈 subin,소율 soyul,"
    "예린 yerin,지원 jiwon,소윤 soyun,유나 yuna,은서 eunseo,가은 gaeun,나은 naeun,현서 hyunseo,예나 yena,"
    "수현 suhyun,보라 bora,하늘 haneul,가람 garam,새롬 saerom,슬기 seulgi,아름 areum,한별 hanbyul"
)
_EN_FAMILY = (
    "Smith,Johnson,Williams,Brown,Jones,Garcia,Miller,Davis,Martinez,Wilson,Anderson,Taylor,Thomas,Moore,Jackson,Martin,Lopez,"
    "White,Harris,Clark,Lewis,Young,Walker,Hall,Allen,Wright,Scott,Green,Baker,Adams,Nelson,Carter,Mitchell,Roberts,Turner,"
    "Phillips,Campbell,Parker,Evans,Edwards,Collins,Stewart,Morris,Murphy,Cook,Rogers,Reed,Bailey,Bell,Cooper"
)
_EN_GIVEN = (
    "Olivia,Liam,Emma,Noah,Amelia,Oliver,Sophia,James,Charlotte,Elijah,Isabella,Henry,Ava,Lucas,Mia,William,Evelyn,Benjamin,"
    "Luna,Theodore,Harper,Mateo,Sofia,Levi,Camila,Jack,Eleanor,Daniel,Elizabeth,Michael,Violet,Mason,Scarlett,Ethan,Emily,Owen,"
    "Hazel,Samuel,Lily,Jacob,Gianna,Asher,Aurora,Aiden,Penelope,John,Aria,Joseph,Nora,Wyatt"
)
_DOMAINS = ("example.com", "example.net", "example.org")

#: {(category in Korean, in English): subjects in both languages}
_COURSES = {
    ("프로그래밍", "Programming"): (
        "파이썬/Python,자바/Java,러스트/Rust,타입스크립트/TypeScript,알고리즘/Algorithms,코틀린/Kotlin"
    ),
    ("데이터", "Data"): (
        "SQL/SQL,통계/Statistics,머신러닝/Machine Learning,데이터 분석/Data Analysis,카프카/Kafka,스파크/Spark"
    ),
    ("외국어", "Languages"): (
        "영어 회화/English Conversation,일본어/Japanese,중국어/Chinese,스페인어/Spanish,한국어/Korean"
    ),
    ("음악", "Music"): ("피아노/Piano,기타/Guitar,작곡/Songwriting,보컬/Singing,드럼/Drums,미디/MIDI Production"),
    ("디자인", "Design"): (
        "일러스트/Illustration,UX 디자인/UX Design,사진/Photography,영상 편집/Video Editing,3D 모델링/3D Modelling"
    ),
    ("수학", "Mathematics"): (
        "미적분/Calculus,선형대수/Linear Algebra,확률/Probability,기하/Geometry,수능 수학/Exam Maths"
    ),
    ("과학", "Science"): ("물리/Physics,화학/Chemistry,생명과학/Biology,지구과학/Earth Science,천문/Astronomy"),
    ("경영", "Business"): ("마케팅/Marketing,회계/Accounting,창업/Startups,재무/Finance,기획/Product Management"),
}
_KO_FORMS = (
    "처음 만나는 {}",
    "실전 {}",
    "{} 입문",
    "{} 완성반",
    "한 달 완성 {}",
    "{} 심화",
    "주말 {} 특강",
    "{} 프로젝트",
    "혼자 하는 {}",
    "{} 핵심 정리",
)
_EN_FORMS = (
    "{} for Beginners",
    "Practical {}",
    "{} in Four Weeks",
    "Advanced {}",
    "{} Masterclass",
    "Weekend {}",
    "{} Workshop",
    "{} Step by Step",
    "Hands-on {}",
    "{} Essentials",
)
_COHORTS = 12


def _pairs(text: str) -> list[list[str]]:
    return [each.split() for each in text.split(",")]


#: (name, local part of the email address without its number)
_KO = [
    (f"{family}{given}", f"{given_en}.{family_en}")
    for family, family_en in _pairs(_KO_FAMILY)
    for given, given_en in _pairs(_KO_GIVEN)
]
_EN = [
    (f"{given} {family}", f"{given}.{family}".lower())
    for family in _EN_FAMILY.split(",")
    for given in _EN_GIVEN.split(",")
]
#: (title, category)
_TITLES = [
    (form.format(subject.split("/")[language]), category[language])
    for category, subjects in _COURSES.items()
    for subject in subjects.split(",")
    for language, forms in ((0, _KO_FORMS), (1, _EN_FORMS))
    for form in forms
]


def user_rows(seed: int, ids: Iterable[int]) -> Iterator[tuple[int, str, str, str]]:
    """Yield (user_id, name, email, locale) of generated customers; three of four are Korean. Emails are unique."""
    for row_id in ids:
        bits = _hash64(seed, row_id)
        name, local, locale = person(bits)
        yield row_id, name, f"{local}{row_id}@{_DOMAINS[(bits >> 50) % 3]}", locale


def product_rows(seed: int, ids: Iterable[int]) -> Iterator[tuple[int, str, str, int]]:
    """Yield (product_id, title, category, price_krw) of generated courses, 9,000 to 489,000 won."""
    titles, count = _TITLES, len(_TITLES)
    for row_id in ids:
        bits = _hash64(~seed, row_id)
        title, category = titles[bits % count]
        cohort = (bits >> 20) % _COHORTS + 1
        korean = ord(category[0]) > 127
        yield (
            row_id,
            f"{title} {cohort}기" if korean else f"{title} (Cohort {cohort})",
            category,
            (bits >> 32) % 49 * 10_000 + 9_000,
        )


def person(bits: int) -> tuple[str, str, str]:
    """Return (name, local part of an email address, locale) for 50 random bits."""
    if bits & 3:
        return *_KO[(bits >> 2) % len(_KO)], "ko"
    return *_EN[(bits >> 2) % len(_EN)], "en"


def _hash64(seed: int, number: int) -> int:
    """Return 64 pseudo-random bits (splitmix64). This is much faster than a random generator per row."""
    x = (seed * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95) & _M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _M64
    return x ^ (x >> 31)
