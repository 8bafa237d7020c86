"""What of a caption is a name."""

from workers.evaluation.naming import names_exactly, names_within, noun_of


def test_articles_and_the_word_photo_do_not_count() -> None:
    """The noun of a caption is what is left without its article and 'a photo of'."""
    assert noun_of("A photo of an apple.") == "apple"
    assert noun_of("two-hump camel") == "two-hump camel"


def test_exact_and_contained_are_told_apart() -> None:
    """'cat face' contains the name 'cat' but is not it; 'caterpillar' does not even contain it."""
    captions = ["a cat", "a cat face", "a caterpillar", "the dog"]
    assert [names_exactly(caption, ["cat"]) for caption in captions] == [True, False, False, False]
    assert [names_within(caption, ["cat"]) for caption in captions] == [True, True, False, False]


def test_any_accepted_name_is_right() -> None:
    """A picture with several accepted names may be called by each of them."""
    assert names_exactly("a photo of a car", ["automobile", "car"])
